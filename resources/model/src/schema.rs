//! The schema of a kind: one table from which the compiler's checks, the editors' JSON Schema and the docs come.

use crate::by_name::ByName;
use crate::path::AbsPath;
use crate::value::Value;

/// The type of a property, for people and for JSON Schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeSchema {
    /// `true` or `false`.
    Boolean,
    /// An integer within bounds, both included.
    Integer {
        /// The least.
        minimum: i64,
        /// The greatest.
        maximum: i64,
    },
    /// Text; `pattern` is a regular expression for editors (the decoder has the last word), `what` names it for people.
    Text {
        /// What it is: "path", "user name", "duration".
        what: &'static str,
        /// A JSON Schema pattern, where one says anything useful.
        pattern: Option<&'static str>,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these.
    List(Box<TypeSchema>),
    /// A map from names to these.
    Map(Box<TypeSchema>),
    /// Any of these.
    Either(Vec<TypeSchema>),
    /// Text or bytes that become a file. A kind with such a property also takes `template` with `vars`, and `source`.
    Content,
    /// Any value.
    Any,
}

/// One property of a kind.
#[derive(Clone, Debug)]
pub struct PropertySchema {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What it means, in sentences.
    pub doc: &'static str,
    /// Its type.
    pub ty: TypeSchema,
    /// Whether a resource without it is an error.
    pub required: bool,
    /// What it is when nothing is written.
    pub default: Option<Value>,
    /// Whether no value of it is shown: not in a plan or a report, not by `why`.
    pub sensitive: bool,
    /// Checks a value in every respect that needs no machine. Of a [list](TypeSchema::List) or a [map](TypeSchema::Map), one
    /// item or entry alone is refused only where it would be in any other, too: so what is wrong can be pointed at.
    pub check: fn(&Value) -> Result<(), String>,
}

impl PropertySchema {
    /// Whether its value may be secret: it becomes what a file holds, or something that nobody but its user sees. Any other
    /// ends up where everybody on the machine can see it: among the arguments of a command, in a list of accounts.
    pub fn takes_secrets(&self) -> bool {
        self.sensitive || self.ty == TypeSchema::Content
    }
}

/// What is known of a property before anything is evaluated.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// It is not written.
    Absent,
    /// It is written, and this is its value.
    Value(&'a Value),
    /// It is written, and only a node can tell its value.
    Later,
}

/// A rule of a kind that a resource breaks: each property may be right by itself, but not these together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The properties that the rule reads, the one that it is most about first. Not all need be written.
    pub properties: &'static [&'static str],
    /// What is wrong.
    pub problem: String,
}

/// Holds what is known of a resource, its name and its properties, against the rules of its kind. A rule that reads what is
/// known later is left out.
pub type Judge = for<'k> fn(Option<&str>, &dyn Fn(&str) -> Known<'k>) -> Vec<Broken>;

/// What the name of a resource of a kind may be.
#[derive(Clone, Copy, Debug)]
pub struct NameSchema {
    /// What the name is: "absolute path", "unit name".
    pub what: &'static str,
    /// Checks a name.
    pub check: fn(&str) -> Result<(), String>,
    /// Whether the name is the path that is managed: a directory that purges keeps it.
    pub is_path: bool,
}

impl NameSchema {
    /// Names that are the absolute path of what is managed.
    pub const PATH: Self =
        Self { what: "absolute path", check: |name| name.parse::<AbsPath>().map(drop), is_path: true };
}

/// A kind, as an author sees it.
#[derive(Clone, Debug)]
pub struct KindSchema {
    /// Its name: `file`.
    pub name: &'static str,
    /// What it is, in sentences.
    pub doc: &'static str,
    /// What its resources are called.
    pub names: NameSchema,
    /// Its properties, in the order of the docs.
    pub properties: Vec<PropertySchema>,
    /// What they must be together: [`Properties::judge`].
    pub judge: Judge,
    /// What a notification may ask of it, each with its meaning.
    pub actions: &'static [(&'static str, &'static str)],
    /// A small recipe that uses it.
    pub example: &'static str,
}

impl KindSchema {
    /// The property called `name`.
    pub fn property(&self, name: &str) -> Option<&PropertySchema> {
        self.properties.iter().find(|property| property.name == name)
    }

    /// The property that holds content, if the kind has one.
    pub fn content_property(&self) -> Option<&PropertySchema> {
        self.properties.iter().find(|property| property.ty == TypeSchema::Content)
    }

    /// The names of the properties of which no value is shown.
    pub fn sensitive_properties(&self) -> impl Iterator<Item = &'static str> {
        self.properties.iter().filter(|property| property.sensitive).map(|property| property.name)
    }

    /// Whether a notification may ask for `action`.
    pub fn has_action(&self, action: &str) -> bool {
        self.actions.iter().any(|(name, _)| *name == action)
    }
}

/// The properties of one resource, decoded. Written with [`properties!`](crate::properties!).
pub trait Properties: Sized {
    /// The table.
    fn schema() -> Vec<PropertySchema>;

    /// Decodes the values of the resource called `name`.
    ///
    /// # Errors
    /// Names the property and says what is wrong with it: unknown, missing, or of the wrong type. Or says which rule the
    /// resource breaks.
    fn decode(name: &str, values: &ByName<Value>) -> Result<Self, String>;

    /// The rules that a resource breaks, as far as can be told: a [`Judge`].
    fn judge<'k>(name: Option<&str>, known: &dyn Fn(&str) -> Known<'k>) -> Vec<Broken>;
}

/// The name of the property that a field declares: `r#type` is `type`.
#[doc(hidden)]
pub const fn property_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Declares the properties of a kind: the struct, its schema and its decoder, from one table.
///
/// A field is required unless its type is an `Option` or it has a default after `=`. After its documentation,
/// `#[sensitive = true]` says that no value of it is shown anywhere.
///
/// What goes for one property is a matter of its type ([`PropertyType`](crate::PropertyType)). What goes for several together
/// is a rule: a function of exactly those, by reference. Rules `with name` get the name of the resource before them. A compiler
/// asks each rule as soon as all that it reads is known; the decoder asks all of them.
///
/// ```
/// fn is_slow_enough_to_read(text: &Option<String>, rate: &i64) -> Result<(), String> {
///     if text.is_some() && *rate > 60 { Err(format!("nobody can read {rate} a minute")) } else { Ok(()) }
/// }
/// fn is_not_dark(name: &str, rate: &i64) -> Result<(), String> {
///     if *rate == 0 { Err(format!("{name} would never shine")) } else { Ok(()) }
/// }
///
/// converge_model::properties! {
///     /// What a beacon takes.
///     pub struct BeaconProperties {
///         /// Where it shines.
///         pub at: converge_model::AbsPath,
///         /// How often a minute.
///         pub rate: i64 = 6,
///         /// What it says.
///         #[sensitive = true]
///         pub text: Option<String>,
///         /// A word of Rust's own is written raw: the property is `type`.
///         pub r#type: Option<String>,
///     }
///     rules { is_slow_enough_to_read(text, rate) }
///     rules with name { is_not_dark(rate) }
/// }
/// use converge_model::{Properties, Value, schema::Known};
/// let values = [("at".to_owned(), Value::from("/srv"))].into();
/// assert_eq!(BeaconProperties::decode("a", &values).unwrap().rate, 6);
/// let fast = Value::from(100);
/// let broken = BeaconProperties::judge(None, &|name| match name {
///     "rate" => Known::Value(&fast),
///     "text" => Known::Later,
///     _ => Known::Absent,
/// });
/// assert!(broken.is_empty(), "neither the name nor the text is known");
/// assert_eq!(BeaconProperties::schema()[3].name, "type");
/// assert!(BeaconProperties::schema()[2].sensitive);
/// ```
#[macro_export]
macro_rules! properties {
    (
        $(#[doc = $outer:literal])*
        $visibility:vis struct $name:ident {
            $( $(#[doc = $doc:literal])* $(#[sensitive = $sensitive:literal])? pub $field:ident : $ty:ty $(= $default:expr)? ),*
            $(,)?
        }
        $( rules { $( $rule:ident ( $($read:ident),+ ) ),+ $(,)? } )?
        $( rules with name { $( $named:ident ( $($named_read:ident),+ ) ),+ $(,)? } )?
    ) => {
        $(#[doc = $outer])*
        #[derive(Clone, Debug)]
        $visibility struct $name {
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        impl $crate::Properties for $name {
            fn schema() -> Vec<$crate::PropertySchema> {
                vec![$( $crate::PropertySchema {
                    name: $crate::schema::property_name(stringify!($field)),
                    doc: concat!($($doc, "\n"),*).trim(),
                    ty: <$ty as $crate::PropertyType>::schema(),
                    required: $crate::properties!(@required $ty $(, $default)?),
                    default: $crate::properties!(@default $($default)?),
                    sensitive: $crate::properties!(@sensitive $($sensitive)?),
                    check: |value| <$ty as $crate::PropertyType>::from_value(value).map(drop),
                }, )*]
            }

            fn decode(
                name: &str,
                values: &$crate::ByName<$crate::Value>,
            ) -> ::std::result::Result<Self, String> {
                const NAMES: &[&str] = &[$($crate::schema::property_name(stringify!($field))),*];
                if let Some(unknown) = values.keys().find(|key| !NAMES.contains(&key.as_str())) {
                    return Err(format!("unknown property `{unknown}`"));
                }
                let decoded = Self { $(
                    $field: match values.get($crate::schema::property_name(stringify!($field))) {
                        Some(value) => <$ty as $crate::PropertyType>::from_value(value)
                            .map_err(|error| {
                                format!("property `{}`: {error}", $crate::schema::property_name(stringify!($field)))
                            })?,
                        None => $crate::properties!(@missing $field, $ty $(, $default)?),
                    },
                )* };
                $($( $rule($(&decoded.$read),+)?; )+)?
                $($( $named(name, $(&decoded.$named_read),+)?; )+)?
                let _ = name;
                Ok(decoded)
            }

            fn judge<'k>(
                name: Option<&str>,
                known: &dyn Fn(&str) -> $crate::schema::Known<'k>,
            ) -> Vec<$crate::schema::Broken> {
                $crate::properties!(@judge name, known,
                    [$( $field: $ty $(= $default)? ),*]
                    [$($( $rule($($read),+) ),+)?]
                    [$($( $named($($named_read),+) ),+)?]
                )
            }
        }
    };
    (@judge $name:ident, $known:ident, [$($fields:tt)*] [] []) => {{
        let _ = ($name, $known);
        Vec::new()
    }};
    (@judge $name:ident, $known:ident,
        [$( $field:ident : $ty:ty $(= $default:expr)? ),*]
        [$( $rule:ident ( $($read:ident),+ ) ),*]
        [$( $named:ident ( $($named_read:ident),+ ) ),*]
    ) => {{
        $( let $field: Option<$ty> = match $known($crate::schema::property_name(stringify!($field))) {
            $crate::schema::Known::Later => None,
            // What is wrong by itself is told by its own check.
            $crate::schema::Known::Value(value) => <$ty as $crate::PropertyType>::from_value(value).ok(),
            $crate::schema::Known::Absent => $crate::properties!(@absent $ty $(, $default)?),
        }; )*
        let _ = ($name, $(&$field),*);
        let mut broken = Vec::new();
        $( if let ($(Some($read),)+) = ($(&$read,)+)
            && let Err(problem) = $rule($($read),+)
        {
            const PROPERTIES: &[&str] = &[$($crate::schema::property_name(stringify!($read))),+];
            broken.push($crate::schema::Broken { properties: PROPERTIES, problem });
        } )*
        $( if let (Some(name), $(Some($named_read),)+) = ($name, $(&$named_read,)+)
            && let Err(problem) = $named(name, $($named_read),+)
        {
            const PROPERTIES: &[&str] = &[$($crate::schema::property_name(stringify!($named_read))),+];
            broken.push($crate::schema::Broken { properties: PROPERTIES, problem });
        } )*
        broken
    }};
    (@absent $ty:ty) => { <$ty as $crate::PropertyType>::missing() };
    (@absent $ty:ty, $default:expr) => { Some($default) };
    (@required $ty:ty) => { <$ty as $crate::PropertyType>::missing().is_none() };
    (@required $ty:ty, $default:expr) => { false };
    (@sensitive) => { false };
    (@sensitive $sensitive:literal) => { $sensitive };
    (@default) => { None };
    (@default $default:expr) => { Some($crate::Value::from($default)) };
    (@missing $field:ident, $ty:ty) => {
        <$ty as $crate::PropertyType>::missing()
            .ok_or_else(|| {
                format!("property `{}` is missing", $crate::schema::property_name(stringify!($field)))
            })?
    };
    (@missing $field:ident, $ty:ty, $default:expr) => { $default };
}

/// Declares a property that takes one of a few words: the enum, its schema and its decoder, from one table.
///
/// ```
/// converge_model::choice! {
///     /// Whether it is there.
///     pub enum Ensure { Present = "present", Absent = "absent" }
/// }
/// use converge_model::{PropertyType, Value};
/// assert_eq!(Ensure::from_value(&Value::from("absent")), Ok(Ensure::Absent));
/// assert!(Ensure::from_value(&Value::from("gone")).is_err());
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $outer:literal])*
        $visibility:vis enum $name:ident { $( $(#[doc = $doc:literal])* $variant:ident = $word:literal ),* $(,)? }
    ) => {
        $(#[doc = $outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name {
            $( $(#[doc = $doc])* #[doc = concat!("Written `", $word, "`.")] $variant, )*
        }

        impl $name {
            /// The word for it in a recipe.
            $visibility fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl From<$name> for $crate::Value {
            fn from(choice: $name) -> Self {
                $crate::Value::from(choice.word())
            }
        }

        impl $crate::PropertyType for $name {
            fn schema() -> $crate::TypeSchema {
                $crate::TypeSchema::OneOf(&[$($word),*])
            }

            fn from_value(value: &$crate::Value) -> ::std::result::Result<Self, String> {
                match value.as_str() {
                    $( Some($word) => Ok(Self::$variant), )*
                    _ => Err(format!("{value} is not one of {}", [$(concat!("`", $word, "`")),*].join(", "))),
                }
            }
        }
    };
}
