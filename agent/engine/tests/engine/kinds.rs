//! The kinds that ship, and a few that misbehave on purpose.

use std::sync::LazyLock;

use converge_kinds::registry;
use converge_model::schema::NameSchema;
use converge_model::{
    AbsPath, AnyResource, ByName, Change, Changes, Content, Error, ErrorKind, Footprint, Key, Kind, KindSchema, Kinds,
    Properties, Resource, ResourceSpec, Result, Shown, System, Value,
};

/// All of them.
pub struct TestKinds(Vec<Kind>);

impl TestKinds {
    pub fn get() -> &'static Self {
        static KINDS: LazyLock<TestKinds> = LazyLock::new(|| {
            let mut kinds = registry().all().to_vec();
            let gone = |spec: &ResourceSpec<'_>| {
                let value = spec.properties.get("value").cloned().unwrap_or_default();
                Some(ByName::from([("how".to_owned(), Value::from("gone")), ("value".to_owned(), value)]))
            };
            kinds.push(Kind { schema, build, removal: gone });
            TestKinds(kinds)
        });
        &KINDS
    }
}

impl Kinds for TestKinds {
    fn kind(&self, name: &str) -> Option<&Kind> {
        self.0.iter().find(|kind| (kind.schema)().name == name)
    }

    fn all(&self) -> &[Kind] {
        &self.0
    }
}

converge_model::properties! {
    /// What an odd thing says of its properties: only what is sensitive.
    struct OddProperties {
        /// Shown nowhere.
        #[sensitive = true]
        pub key: Option<String>,
    }
}

fn schema() -> KindSchema {
    KindSchema {
        name: "odd",
        doc: "A marker file that goes wrong as `how` says: `panics in observe`, `panics in apply`, `never converges`, \
              `quotes` (its `value`, in an error of apply), `half` (writes, then fails).",
        names: NameSchema::PATH,
        properties: OddProperties::schema(),
        judge: OddProperties::judge,
        actions: &[("poke", "Appends nothing, or panics.")],
        example: "",
    }
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    let text = |name: &str| spec.properties.get(name).map(Value::to_string).unwrap_or_default();
    let how = text("how");
    assert_ne!(how, "panics in build");
    if how == "does not build" {
        return Err(spec.invalid(format!("the value is {}", text("value"))));
    }
    let path = spec.id.name().parse().map_err(|cause| spec.invalid(cause))?;
    Ok(Box::new(Odd { path, how, value: text("value") }))
}

struct Odd {
    path: AbsPath,
    how: String,
    value: String,
}

impl Odd {
    fn content(&self) -> Content {
        Content::Bytes(self.value.as_bytes().into())
    }

    fn quote(&self) -> Error {
        Error::new(ErrorKind::Failed, "write", &self.path, format!("the value {:?} is refused", self.value))
            .with_hint(format!("choose another value than {}", self.value))
    }
}

impl Resource for Odd {
    type State = Option<bool>;

    fn observe(&self, system: &dyn System) -> Result<Option<bool>> {
        assert_ne!(self.how, "panics in observe");
        if self.how == "cannot tell" {
            return Err(self.quote());
        }
        Ok(system.files().probe(&self.path, Some(&self.content()))?.map(|probe| probe.same == Some(true)))
    }

    fn diff(&self, same: &Option<bool>) -> Changes {
        let mut changes = Changes::none();
        if self.how == "gone" {
            changes.compare("there", same.map(|_| "yes"), "no");
            return if same.is_some() { changes } else { Changes::none() };
        }
        if *same != Some(true) || self.how == "never converges" {
            changes.push(Change::new(
                "value",
                same.map_or(Shown::Absent, |_| Shown::text("other")),
                Shown::text(&self.value),
            ));
            // A property of another name that shows what is secret all the same.
            changes.push(Change::new("length of", Shown::Absent, Shown::text(format!("<{}>", self.value))));
        }
        changes
    }

    fn apply(&self, system: &dyn System, _state: &Option<bool>, _changes: &Changes) -> Result<()> {
        match self.how.as_str() {
            "panics in apply" => panic!("the value {} is odd", self.value),
            "quotes" => Err(self.quote()),
            "gone" => system.files().remove(&self.path),
            "half" => {
                system.files().write(&self.path, &Content::Bytes((*b"half").into()), Default::default(), None)?;
                Err(self.quote())
            }
            _ => system.files().write(&self.path, &self.content(), Default::default(), None),
        }
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            gives: vec![Key::Path(self.path.clone())],
            needs: self.path.parent().map(Key::Path).into_iter().collect(),
        }
    }

    fn act(&self, _system: &dyn System, _action: &str) -> Result<()> {
        match self.how.as_str() {
            "panics in act" => panic!("the value {} is odd", self.value),
            "quotes in act" => Err(self.quote()),
            _ => Ok(()),
        }
    }
}
