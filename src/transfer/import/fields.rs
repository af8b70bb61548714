//! The fields of a JSON object of any kind, found without making values of them all.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The fields of an object, in their order, each as it is written.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The field that is called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| *value)
    }

    /// The field at `path`: its name, or names with dots between them for one within another.
    /// A name that has a dot itself is found as well.
    pub(super) fn at(&self, path: &str) -> Option<&'a RawValue> {
        if let Some(value) = self.get(path) {
            return Some(value);
        }
        let (outer, inner) = path.split_once('.')?;
        let fields: Fields<'a> = serde_json::from_str(self.get(outer)?.get()).ok()?;
        fields.at(inner)
    }
}

/// The text of a value: of a string, what it says; of a number or a boolean, how it is written.
pub(super) fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first() {
        Some(b'"') => Text::of(value),
        Some(b'{' | b'[' | b'n') | None => None,
        Some(_) => Some(Cow::Borrowed(value.get())),
    }
}

/// A string that is borrowed from the input where it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Text<'a> {
    fn of(value: &'a RawValue) -> Option<Cow<'a, str>> {
        serde_json::from_str::<Self>(value.get()).ok().map(|Self(text)| text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields(Vec::new());
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &RawValue>()? {
            if fields.get(&name).is_some() {
                return Err(A::Error::custom(format_args!("field {name:?} stands there twice")));
            }
            fields.0.push((name, value));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(json: &str, path: &str) -> Option<String> {
        let fields: Fields<'_> = serde_json::from_str(json).unwrap();
        fields.at(path).and_then(text_of).map(Cow::into_owned)
    }

    #[test]
    fn a_field_is_found_by_its_path() {
        let json = r#"{"a":{"b":{"c":"d\u00e9\n"},"e":7},"f.g":true,"h":null,"i":[1],"1":1e400}"#;
        assert_eq!(at(json, "a.b.c").as_deref(), Some("dé\n"));
        assert_eq!(at(json, "a.e").as_deref(), Some("7"));
        assert_eq!(at(json, "f.g").as_deref(), Some("true"));
        assert_eq!(at(json, "1").as_deref(), Some("1e400"));
        for path in ["h", "i", "a", "a.b", "a.x", "x.y", "", ".", "a.", "a.b.c.d"] {
            assert_eq!(at(json, path), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_object_or_names_a_field_twice_is_refused() {
        for json in ["[]", "7", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{} {}"] {
            assert!(serde_json::from_str::<Fields<'_>>(json).is_err(), "{json}");
        }
    }
}
