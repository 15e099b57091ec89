//! A JSON value as its text: of a small one, a tenth of the room. A run keeps several for each of its thousands of tasks.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON value that is kept and seldom looked at. As JSON it is the value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed(Box<str>);

impl Packed {
    /// The value.
    pub fn open(&self) -> Value {
        // its text is a value's own
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl Default for Packed {
    fn default() -> Self {
        Self::from(&Value::Null)
    }
}

impl From<&Value> for Packed {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<Value> for Packed {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.open().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Value::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_packed_is_the_same_when_it_is_opened_and_in_json() {
        for value in
            [json!(null), json!({}), json!({"b": [1, -2.5, "Ж\n"], "a": {"c": null, "d": u64::MAX}}), json!("")]
        {
            let packed = Packed::from(&value);
            assert_eq!(packed.open(), value);
            let text = serde_json::to_string(&packed).unwrap();
            assert_eq!(text, value.to_string(), "in the same order");
            assert_eq!(serde_json::from_str::<Packed>(&text).unwrap(), packed);
        }
        assert_eq!(Packed::default().open(), Value::Null);
    }
}
