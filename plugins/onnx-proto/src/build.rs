//! Shorthands for writing models.

use prost::bytes::Bytes;

use crate::{
    AttributeProto, AttributeType, DataType, DimensionProto, DimensionValue, NodeProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// An operation of the standard operator set, named after its first output.
#[must_use]
pub fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        input: strings(inputs),
        output: strings(outputs),
        name: outputs
            .first()
            .map_or(String::new(), |name| format!("{name}/{operator}")),
        op_type: operator.to_owned(),
        ..NodeProto::default()
    }
}

/// Texts that own themselves.
#[must_use]
pub fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// An input or output of f32 numbers with as many rows as one likes, `columns` numbers each.
#[must_use]
pub fn real_input(name: &str, columns: usize) -> ValueInfoProto {
    let dimension = |value| DimensionProto { value: Some(value) };
    let shape = TensorShapeProto {
        dim: vec![
            dimension(DimensionValue::Name("rows".to_owned())),
            dimension(DimensionValue::Length(columns as i64)),
        ],
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: DataType::Float.into(),
                shape: Some(shape),
            }),
        }),
        doc_string: String::new(),
    }
}

/// Attributes, written one after the other.
#[derive(Debug, Clone, Default)]
pub struct Attributes(Vec<AttributeProto>);

impl Attributes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All of them.
    #[must_use]
    pub fn done(self) -> Vec<AttributeProto> {
        self.0
    }

    fn with(mut self, name: &str, kind: AttributeType, fill: impl Fn(&mut AttributeProto)) -> Self {
        let mut attribute = AttributeProto {
            name: name.to_owned(),
            r#type: kind.into(),
            ..AttributeProto::default()
        };
        fill(&mut attribute);
        self.0.push(attribute);
        self
    }

    /// A whole number.
    #[must_use]
    pub fn int(self, name: &str, value: i64) -> Self {
        self.with(name, AttributeType::Int, |one| one.i = value)
    }

    /// Whole numbers.
    #[must_use]
    pub fn ints(self, name: &str, values: Vec<i64>) -> Self {
        self.with(name, AttributeType::Ints, move |one| {
            one.ints.clone_from(&values)
        })
    }

    /// Numbers.
    #[must_use]
    pub fn floats(self, name: &str, values: Vec<f32>) -> Self {
        self.with(name, AttributeType::Floats, move |one| {
            one.floats.clone_from(&values)
        })
    }

    /// A text.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        let value = Bytes::copy_from_slice(value.as_bytes());
        self.with(name, AttributeType::String, move |one| {
            one.s = value.clone()
        })
    }

    /// Texts.
    #[must_use]
    pub fn texts(self, name: &str, values: &[&'static str]) -> Self {
        self.with(name, AttributeType::Strings, |one| {
            one.strings = values
                .iter()
                .map(|text| Bytes::from_static(text.as_bytes()))
                .collect();
        })
    }

    /// A list of f64 numbers as a tensor.
    #[must_use]
    pub fn doubles(self, name: &str, values: &[f64]) -> Self {
        let tensor = TensorProto::of_doubles(name, values);
        self.with(name, AttributeType::Tensor, move |one| {
            one.t = Some(tensor.clone())
        })
    }
}

impl TensorProto {
    fn new(name: &str, dims: &[usize], kind: DataType, raw_data: Vec<u8>) -> Self {
        Self {
            dims: dims.iter().map(|length| *length as i64).collect(),
            data_type: kind.into(),
            name: name.to_owned(),
            raw_data: Bytes::from(raw_data),
            ..Self::default()
        }
    }

    /// A list of f64 numbers.
    #[must_use]
    pub fn of_doubles(name: &str, values: &[f64]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self::new(name, &[values.len()], DataType::Double, bytes)
    }

    /// f32 numbers in this shape.
    #[must_use]
    pub fn of_floats(name: &str, dims: &[usize], values: &[f32]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self::new(name, dims, DataType::Float, bytes)
    }

    /// A list of whole numbers.
    #[must_use]
    pub fn of_ints(name: &str, values: &[i64]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self::new(name, &[values.len()], DataType::Int64, bytes)
    }

    /// Bytes in this shape.
    #[must_use]
    pub fn of_bytes(name: &str, dims: &[usize], values: Vec<u8>) -> Self {
        Self::new(name, dims, DataType::Uint8, values)
    }
}
