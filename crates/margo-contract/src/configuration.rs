//! What values the parameters of an application may have (contract §12.4), and the check of what
//! somebody wants them to have.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Number, Value};

use crate::application_description::{ApplicationDescription, Parameter};
use crate::document::Node;

/// The largest compiled pattern, in bytes, margo(CF-6).
const LARGEST_PATTERN: usize = 1 << 20;

/// The settings of an application.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configuration {
    /// By parameter.
    pub settings: BTreeMap<String, Setting>,
}

/// One value that a user can set.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The label for people.
    pub name: String,
    pub description: Option<String>,
    /// Cannot change once it was used to install.
    pub immutable: bool,
    pub schema: Schema,
}

/// The rules for a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    pub item: ItemType,
    /// The value is a list of items.
    pub list: bool,
    pub allow_empty: bool,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub regex: Option<Pattern>,
    pub min_value: Option<f64>,
    pub max_value: Option<f64>,
    pub min_precision: Option<u64>,
    pub max_precision: Option<u64>,
    /// Empty unless the value is chosen from a list.
    pub options: Vec<Value>,
}

/// The type of a value, or of each item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemType {
    String,
    Integer,
    Double,
    Boolean,
}

/// A compiled regular expression; equal to another one with the same text.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A value that breaks a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterFault {
    pub parameter: String,
    /// The value, as JSON.
    pub value: Option<Value>,
    /// The broken rule and what would be accepted, as a sentence part.
    pub message: String,
}

impl ApplicationDescription {
    /// Checks the values that somebody set and gives every parameter its effective value: the set
    /// one, or else the default. Null is no value. All faults are found, not only the first.
    // margo(CF-1, CF-2, CF-5, PA-1, PA-2)
    pub fn effective_values(
        &self,
        set: &BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, Value>, Vec<ParameterFault>> {
        let fault = |parameter: &str, value: Option<&Value>, message: String| ParameterFault {
            parameter: parameter.to_owned(),
            value: value.cloned(),
            message,
        };
        let mut faults: Vec<ParameterFault> = set
            .iter()
            .filter(|(name, _)| !self.parameters.contains_key(*name))
            .map(|(name, value)| fault(name, Some(value), self.unknown_parameter()))
            .collect();
        let mut values = BTreeMap::new();
        for (name, parameter) in &self.parameters {
            let value = set.get(name).filter(|it| !it.is_null()).or(parameter.default.as_ref());
            let schema = self.configuration.settings.get(name).map(|it| &it.schema);
            match (value, schema) {
                (Some(value), Some(schema)) => match schema.check(value) {
                    Ok(()) => drop(values.insert(name.clone(), value.clone())),
                    Err(message) => faults.push(fault(name, Some(value), message)),
                },
                (Some(value), None)
                    if set.contains_key(name) && Some(value) != parameter.default.as_ref() =>
                {
                    let message = "cannot be set: the application has no setting for it".to_owned();
                    faults.push(fault(name, Some(value), message));
                }
                (Some(value), None) => drop(values.insert(name.clone(), value.clone())),
                (None, Some(schema)) if !schema.allow_empty => {
                    let message = format!("needs a value: {}", schema.accepts());
                    faults.push(fault(name, None, message));
                }
                (None, _) => {}
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }

    /// Reads a value from text, as its schema types it: `8080` is a number for an integer and a
    /// text for a string. Text that does not fit stays text, and is refused by the check.
    pub fn typed(&self, parameter: &str, text: &str) -> Value {
        match self.configuration.settings.get(parameter) {
            Some(setting) => setting.schema.typed(text),
            None => Value::String(text.to_owned()),
        }
    }

    fn unknown_parameter(&self) -> String {
        let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
        format!("is not a parameter of the application; it has {}", known.join(", "))
    }
}

impl Schema {
    /// Checks a value; the error says which rule it breaks and what would be accepted.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let broken = |rule: &str| Err(format!("{rule}; accepted is {}", self.accepts()));
        // margo(CF-4, CF-5, X-23)
        if is_empty(value) {
            return if self.allow_empty { Ok(()) } else { broken("must not be empty") };
        }
        match (self.list, value) {
            (true, Value::Array(items)) => {
                for item in items {
                    if let Err(rule) = self.check_item(item) {
                        return broken(&format!("the item {item} {rule}"));
                    }
                }
                Ok(())
            }
            (true, _) => broken("is not a list"),
            (false, value) => self.check_item(value).or_else(|rule| broken(&rule)),
        }
    }

    fn check_item(&self, value: &Value) -> Result<(), String> {
        let fits = match self.item {
            ItemType::String => value.is_string(),
            // margo(CF-7): a double with a zero fraction is not silently an integer.
            ItemType::Integer => value.is_i64() || value.is_u64(),
            ItemType::Double => value.is_number(),
            ItemType::Boolean => value.is_boolean(),
        };
        if !fits {
            return Err(format!("is not of type {}", self.item.name()));
        }
        if !self.options.is_empty() && !self.options.iter().any(|it| same(it, value)) {
            return Err("is not one of the options".to_owned());
        }
        match value {
            Value::String(text) => self.check_text(text),
            Value::Number(number) => self.check_number(number),
            _ => Ok(()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        let length = text.chars().count() as u64;
        if self.min_length.is_some_and(|least| length < least) {
            return Err(format!("has {length} characters, too few"));
        }
        if self.max_length.is_some_and(|most| length > most) {
            return Err(format!("has {length} characters, too many"));
        }
        if self.regex.as_ref().is_some_and(|it| !it.0.is_match(text)) {
            return Err("does not match the pattern".to_owned());
        }
        Ok(())
    }

    fn check_number(&self, number: &Number) -> Result<(), String> {
        let value = number.as_f64().unwrap_or(f64::NAN);
        if self.min_value.is_some_and(|least| value < least) {
            return Err("is too small".to_owned());
        }
        if self.max_value.is_some_and(|most| value > most) {
            return Err("is too large".to_owned());
        }
        if self.item != ItemType::Double {
            return Ok(());
        }
        let text = number.to_string();
        let places =
            text.split_once('.').map_or(0, |(_, it)| it.trim_end_matches('0').len() as u64);
        if text.contains('e') && self.max_precision.is_some() {
            return Err("has too many decimal places".to_owned());
        }
        if self.min_precision.is_some_and(|least| places < least) {
            return Err(format!("has {places} decimal places, too few"));
        }
        if self.max_precision.is_some_and(|most| places > most) {
            return Err(format!("has {places} decimal places, too many"));
        }
        Ok(())
    }

    fn typed(&self, text: &str) -> Value {
        if self.list {
            let list = serde_json::from_str::<Vec<Value>>(text).map(Value::Array);
            return list.unwrap_or_else(|_| {
                text.split(',').map(|item| self.typed_item(item.trim())).collect()
            });
        }
        self.typed_item(text)
    }

    fn typed_item(&self, text: &str) -> Value {
        let text_value = || Value::String(text.to_owned());
        match self.item {
            ItemType::String => text_value(),
            ItemType::Integer => text.parse::<i64>().map_or_else(|_| text_value(), Value::from),
            ItemType::Double => match serde_json::from_str::<Number>(text) {
                Ok(number) => Value::Number(number),
                Err(_) => text_value(),
            },
            ItemType::Boolean => text.parse::<bool>().map_or_else(|_| text_value(), Value::from),
        }
    }

    /// What is accepted, for people.
    pub fn accepts(&self) -> String {
        let mut rules = Vec::new();
        let name = self.item.name();
        rules.push(if self.list { format!("a list of {name}") } else { name.to_owned() });
        if !self.options.is_empty() {
            let options: Vec<String> = self.options.iter().map(Value::to_string).collect();
            rules.push(format!("one of {}", options.join(", ")));
        }
        if let Some(regex) = &self.regex {
            rules.push(format!("matching {}", regex.0.as_str()));
        }
        let mut range =
            |least: Option<String>, most: Option<String>, what: &str| match (least, most) {
                (Some(least), Some(most)) => rules.push(format!("{least} to {most}{what}")),
                (Some(least), None) => rules.push(format!("{least} or more{what}")),
                (None, Some(most)) => rules.push(format!("{most} or less{what}")),
                (None, None) => {}
            };
        let text = |it: Option<u64>| it.map(|it| it.to_string());
        range(text(self.min_length), text(self.max_length), " characters");
        range(self.min_value.map(|it| it.to_string()), self.max_value.map(|it| it.to_string()), "");
        range(text(self.min_precision), text(self.max_precision), " decimal places");
        rules.join(", ")
    }
}

impl ItemType {
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Boolean => "boolean",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::String, Self::Integer, Self::Double, Self::Boolean]
            .into_iter()
            .find(|it| it.name() == name)
    }
}

/// A value as an environment variable holds it, margo(PA-4).
pub fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

// margo(CF-5): missing, null, the empty text and the empty list.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && one.as_f64() == other.as_f64())
}

/// Reads `configuration`; settings and schemas that dangle are faults, margo(CF-9).
pub(crate) fn read(root: &Node<'_>, parameters: &BTreeMap<String, Parameter>) -> Configuration {
    let Some(node) = root.get("configuration") else { return Configuration::default() };
    let mut schemas = BTreeMap::new();
    for item in node.need("schema").map(|it| it.items()).unwrap_or_default() {
        let Some(name) = item.need_text("name") else { continue };
        let schema = read_schema(&item);
        if schemas.insert(name.clone(), schema).is_some() {
            item.fault_of("name", format!("`{name}` is there twice"));
        }
    }
    let mut settings = BTreeMap::new();
    for section in node.need("sections").map(|it| it.items()).unwrap_or_default() {
        section.need_text("name");
        for item in section.need("settings").map(|it| it.items()).unwrap_or_default() {
            let (parameter, schema) = (item.need_text("parameter"), item.need_text("schema"));
            let name = item.need_text("name");
            if let Some(parameter) = parameter.as_ref().filter(|it| !parameters.contains_key(*it)) {
                item.fault_of("parameter", format!("there is no parameter `{parameter}`"));
            }
            let (Some(parameter), Some(schema_name), Some(name)) = (parameter, schema, name) else {
                continue;
            };
            let Some(schema) = schemas.get(&schema_name) else {
                item.fault_of("schema", format!("there is no schema `{schema_name}`"));
                continue;
            };
            let immutable = item.get("immutable").is_some_and(|it| read_bool(&it));
            let description = item.get_text("description");
            if let Some(schema) = schema.clone() {
                settings.insert(parameter, Setting { name, description, immutable, schema });
            }
        }
    }
    Configuration { settings }
}

// margo(DE-4)
fn read_schema(node: &Node<'_>) -> Option<Schema> {
    let data_type = node.need_text("dataType")?;
    let inner = data_type.strip_prefix("array[").and_then(|it| it.strip_suffix(']'));
    let Some(item) = ItemType::parse(inner.unwrap_or(&data_type)) else {
        node.fault_of(
            "dataType",
            format!("`{data_type}` is not string, integer, double, boolean or array[...] of one"),
        );
        return None;
    };
    // margo(CF-3): either form of the type is taken for a choice of several.
    let multiselect = node.get("multiselect").is_some_and(|it| read_bool(&it));
    let options = node.items_of("options").iter().map(|it| it.value().clone()).collect();
    let schema = Schema {
        item,
        list: inner.is_some() || multiselect,
        allow_empty: node.get("allowEmpty").is_some_and(|it| read_bool(&it)),
        min_length: node.get_unsigned("minLength"),
        max_length: node.get_unsigned("maxLength"),
        regex: read_pattern(node),
        min_value: read_number(node, "minValue"),
        max_value: read_number(node, "maxValue"),
        min_precision: node.get_unsigned("minPrecision"),
        max_precision: node.get_unsigned("maxPrecision"),
        options,
    };
    let bare = Schema { options: Vec::new(), ..schema.clone() };
    if let Some(bad) = schema.options.iter().find(|it| bare.check_item(it).is_err()) {
        node.fault_of("options", format!("{bad} is not a {}", item.name()));
    }
    Some(schema)
}

// margo(CF-6): a linear-time engine with a size limit.
fn read_pattern(node: &Node<'_>) -> Option<Pattern> {
    let text = node.get_text("regexMatch")?;
    let built = regex::RegexBuilder::new(&text).size_limit(LARGEST_PATTERN).build();
    built
        .map(Pattern)
        .map_err(|error| node.fault_of("regexMatch", format!("is no regular expression: {error}")))
        .ok()
}

fn read_number(node: &Node<'_>, key: &str) -> Option<f64> {
    let number = node.get(key)?;
    let value = number.value().as_f64();
    if value.is_none() {
        number.fault("has to be a number");
    }
    value
}

fn read_bool(node: &Node<'_>) -> bool {
    let value = node.value().as_bool();
    if value.is_none() {
        node.fault("has to be true or false");
    }
    value.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gauge() -> ApplicationDescription {
        let text = include_bytes!("../tests/fixtures/application-description.yaml");
        ApplicationDescription::parse(text).expect("a good description")
    }

    fn check(parameter: &str, value: Value) -> Result<Value, String> {
        // siteCode has no default, so it has to be set.
        let mut set = BTreeMap::from([("siteCode".to_owned(), json!("HBR07"))]);
        set.insert(parameter.to_owned(), value);
        gauge()
            .effective_values(&set)
            .map(|values| values[parameter].clone())
            .map_err(|faults| faults.into_iter().map(|it| it.message).collect())
    }

    // margo(CF-2, CF-3, CF-5, CF-7, DE-4, X-23)
    #[test]
    fn every_data_type_takes_its_values() {
        for (parameter, value) in [
            ("siteCode", json!("QUA02")),
            ("sampleSeconds", json!(5)),
            ("sampleSeconds", json!(3600)),
            ("alarmMetres", json!(12)),
            ("alarmMetres", json!(3.25)),
            ("auditTrail", json!(true)),
            ("datum", json!("ordnance")),
            ("notifyChannels", json!(["lamp", "mail"])),
            ("notifyChannels", json!([])),
            ("sensorNames", json!(["a"])),
            ("sensorPorts", json!([1])),
            ("sensorOffsets", json!([1, 0.5])),
            ("sensorEnabled", json!([false])),
        ] {
            assert_eq!(check(parameter, value.clone()), Ok(value), "{parameter}");
        }
    }

    // margo(CF-1, CF-4, CF-5, CF-6, CF-7)
    #[test]
    fn every_rule_refuses_and_says_what_it_would_take() {
        for (parameter, value, rule, accepted) in [
            ("siteCode", json!("QUA2"), "4 characters", "5 to 5 characters"),
            ("siteCode", json!("quA02"), "pattern", "^[A-Z]{3}[0-9]{2}$"),
            ("siteCode", json!(""), "must not be empty", "string"),
            ("siteCode", json!(12345), "type string", "string"),
            ("sampleSeconds", json!(4), "too small", "5 to 3600"),
            ("sampleSeconds", json!(3601), "too large", "5 to 3600"),
            ("sampleSeconds", json!(7.0), "type integer", "integer"),
            ("sampleSeconds", json!("60"), "type integer", "integer"),
            ("alarmMetres", json!(3.255), "decimal places", "0 to 2 decimal places"),
            ("alarmMetres", json!(0.4), "too small", "0.5 to 12"),
            ("auditTrail", json!("yes"), "type boolean", "boolean"),
            ("datum", json!("sea"), "options", "\"chart\""),
            ("notifyChannels", json!("lamp"), "not a list", "a list of string"),
            ("notifyChannels", json!(["lamp", "horn"]), "\"horn\"", "\"siren\""),
            ("sensorNames", json!([]), "must not be empty", "a list of string"),
            ("sensorPorts", json!([1, 2.5]), "2.5", "a list of integer"),
            ("nothing", json!(1), "not a parameter", "siteCode"),
        ] {
            let message = check(parameter, value.clone()).expect_err(parameter);
            assert!(message.contains(rule), "{parameter} {value}: {message}");
            assert!(message.contains(accepted), "{parameter} {value}: {message}");
        }
    }

    // margo(PA-2, CF-5)
    #[test]
    fn all_faults_are_found_and_defaults_fill_the_rest() {
        let set = BTreeMap::from([
            ("sampleSeconds".to_owned(), json!(0)),
            ("datum".to_owned(), json!("sea")),
        ]);
        let faults = gauge().effective_values(&set).expect_err("three faults");
        let names: Vec<&str> = faults.iter().map(|it| it.parameter.as_str()).collect();
        assert_eq!(names, ["datum", "sampleSeconds", "siteCode"]);

        let set = BTreeMap::from([("siteCode".to_owned(), json!("HBR07"))]);
        let values = gauge().effective_values(&set).expect("good values");
        assert_eq!(values["sampleSeconds"], json!(60));
        let mut with_null = set;
        with_null.insert("sampleSeconds".to_owned(), Value::Null);
        assert_eq!(gauge().effective_values(&with_null), Ok(values.clone()));
        assert_eq!(values.len(), 10);
    }

    #[test]
    fn text_becomes_what_its_schema_says() {
        let gauge = gauge();
        for (parameter, text, value) in [
            ("siteCode", "12345", json!("12345")),
            ("sampleSeconds", "60", json!(60)),
            ("sampleSeconds", "6.5", json!("6.5")),
            ("alarmMetres", "3.25", json!(3.25)),
            ("auditTrail", "true", json!(true)),
            ("auditTrail", "yes", json!("yes")),
            ("notifyChannels", "lamp,mail", json!(["lamp", "mail"])),
            ("sensorPorts", "[1, 2]", json!([1, 2])),
            ("sensorPorts", "1, 2", json!([1, 2])),
        ] {
            assert_eq!(gauge.typed(parameter, text), value, "{parameter}={text}");
        }
    }
}
