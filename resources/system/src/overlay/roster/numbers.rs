//! Numbers for users and groups that were given none.

/// How numbers are chosen.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    /// As Debian's useradd(8): system accounts from 999 down, others from 1000 up.
    Debian,
    /// From a range that no machine uses, because the real choice cannot be known. The next one.
    Synthetic(u32),
}

/// The first synthetic number.
pub(crate) const FIRST_SYNTHETIC: u32 = 0x7000_0000;

impl Numbers {
    pub(super) fn debian() -> Self {
        Numbers::Debian
    }

    pub(super) fn synthetic() -> Self {
        Numbers::Synthetic(FIRST_SYNTHETIC)
    }

    /// A number that is not taken; nothing where the range is used up.
    pub(super) fn choose(&mut self, system: bool, taken: impl Fn(u32) -> bool) -> Option<u32> {
        match self {
            Numbers::Debian if system => (100..=999).rev().find(|number| !taken(*number)),
            Numbers::Debian => (1000..=59_999).find(|number| !taken(*number)),
            Numbers::Synthetic(next) => {
                let number = (*next..u32::MAX).find(|number| !taken(*number))?;
                *next = number + 1;
                Some(number)
            }
        }
    }
}
