//! Arrow values of any type as JSON, which is what rules over rows of foreign tables read.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_schema::DataType;
use serde_json::{Map, Number, Value};

use crate::read::batch::{integer_at, is_null, is_text, list_at, text_at};

/// Whether [`value_at`] can say what an array of this type holds.
pub(super) fn has_json_form(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => has_json_form(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| has_json_form(field.data_type())),
        DataType::Null | DataType::Boolean => true,
        other => is_text(other) || is_number(other),
    }
}

/// Whether a type holds whole numbers or numbers with decimals.
pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating()
}

/// A value as JSON. Null is what is null, not a finite number, or of a type that [`has_json_form`] refuses.
pub(super) fn value_at(array: &dyn Array, row: usize) -> Value {
    if is_null(array, row) {
        return Value::Null;
    }
    if let Some(text) = text_at(array, row) {
        return text.into();
    }
    if let Some(number) = integer_at(array, row) {
        return Number::from_i128(number).map_or(Value::Null, Value::Number);
    }
    if let Some(items) = list_at(array, row) {
        return (0..items.len()).map(|item| value_at(&items, item)).collect();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Float16 => f64::from(array.as_primitive::<Float16Type>().value(row)).into(),
        DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Struct(fields) => {
            let children = array.as_struct().columns();
            let named = fields.iter().zip(children).map(|(field, child)| (field.name().clone(), value_at(child, row)));
            Value::Object(named.collect::<Map<_, _>>())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{Int32Builder, ListBuilder};
    use arrow_array::{
        ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, StringArray, StructArray, UInt64Array,
    };
    use arrow_schema::Field;
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_values_keep_their_form() {
        let mut lists = ListBuilder::new(Int32Builder::new());
        lists.append_value([Some(1), None]);
        let fields: Vec<(&str, ArrayRef)> = vec![
            ("text", Arc::new(StringArray::from(vec!["a"]))),
            ("list", Arc::new(lists.finish())),
            ("flag", Arc::new(BooleanArray::from(vec![true]))),
            ("half", Arc::new(Float32Array::from(vec![0.5]))),
            ("large", Arc::new(UInt64Array::from(vec![u64::MAX]))),
            ("none", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ];
        let fields = fields
            .into_iter()
            .map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array));
        let row = StructArray::from(fields.collect::<Vec<_>>());
        assert!(has_json_form(row.data_type()));
        let expected =
            json!({ "text": "a", "list": [1, null], "flag": true, "half": 0.5, "large": u64::MAX, "none": null });
        assert_eq!(value_at(&row, 0), expected);
    }

    #[test]
    fn bytes_have_no_json_form() {
        let bytes = BinaryArray::from(vec![b"x".as_slice()]);
        assert!(!has_json_form(bytes.data_type()));
        assert_eq!(value_at(&bytes, 0), Value::Null);
    }
}
