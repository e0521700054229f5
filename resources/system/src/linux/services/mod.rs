//! Services: what the service manager knows, and what it is told to do.

use std::time::Duration;

use converge_model::system::Services;
use converge_model::system::services::{UnitAction, UnitStatus};
use converge_model::{Cancel, Error, ErrorKind, Result};

/// The services of this machine.
pub struct LinuxServices;

impl LinuxServices {
    /// The services of this machine. Waiting for a unit ends when `cancel` says that the run is to end now.
    pub fn new(_cancel: Cancel) -> Self {
        Self
    }

    /// Told which units will be asked about, so that all can be asked for at once.
    pub fn prepare(&self, _units: &[&str]) {}
}

fn unavailable(operation: &str, unit: &str) -> Error {
    Error::new(ErrorKind::Unavailable, operation, unit, "no service manager that is known runs here")
}

impl Services for LinuxServices {
    fn provider(&self) -> Option<&'static str> {
        None
    }

    fn status(&self, unit: &str) -> Result<UnitStatus> {
        Err(unavailable("look at", unit))
    }

    fn perform(&self, unit: &str, action: UnitAction, _timeout: Duration) -> Result<()> {
        Err(unavailable(action.word(), unit))
    }

    fn reload_units(&self) -> Result<()> {
        Err(unavailable("reload", "the units"))
    }
}
