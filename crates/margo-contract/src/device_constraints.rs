//! What an application needs of a device, and whether a device has it (contract §13).

use serde_json::Value;

use crate::device_capabilities::{DeviceCapabilities, architecture};
use crate::document::Node;
use crate::quantity;

/// The needs of a deployment profile. The default needs nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceConstraints {
    cores: Option<f64>,
    architectures: Vec<String>,
    memory: Option<u128>,
    storage: Option<u128>,
    /// Types of peripherals and interfaces that older descriptions require.
    peripherals: Vec<String>,
    interfaces: Vec<String>,
    /// One of them has to hold; none means no rule.
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    properties: Vec<Expression>,
    labels: Vec<Expression>,
}

#[derive(Debug, Clone, PartialEq)]
struct Expression {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Exists,
    DoesNotExist,
    Gt(f64),
    Lt(f64),
    ContainsAll(Vec<Expression>),
    ContainsAny(Vec<Expression>),
}

impl DeviceConstraints {
    pub(crate) fn read(node: &Node<'_>) -> Self {
        let mut constraints = Self::default();
        if let Some(capacity) = node.get("capacityRequirements") {
            constraints.read_capacity(&capacity);
        }
        constraints.rules = node.items_of("eligibilityRules").iter().map(read_rule).collect();
        constraints
    }

    /// The older `requiredResources`, margo(SP-42).
    pub(crate) fn read_required_resources(node: &Node<'_>) -> Self {
        let mut constraints = Self::default();
        constraints.read_capacity(node);
        let types = |key| -> Vec<String> {
            node.items_of(key).iter().filter_map(|it| it.need_text("type")).collect()
        };
        constraints.peripherals = types("peripherals");
        constraints.interfaces = types("interfaces");
        constraints
    }

    fn read_capacity(&mut self, node: &Node<'_>) {
        if let Some(cpu) = node.get("cpu") {
            self.cores = cpu.need("cores").and_then(|it| it.value().as_f64());
            if self.cores.is_none_or(|it| it <= 0.0) {
                cpu.fault_of("cores", "has to be a number above 0");
            }
            self.architectures = cpu
                .texts_of("architectures")
                .iter()
                .map(|it| architecture(it).to_owned())
                .collect();
        }
        let amount = |key| {
            let text = node.get_text(key)?;
            let amount = quantity::parse(&text);
            if amount.is_none() {
                node.fault_of(
                    key,
                    format!("`{text}` has to be a whole number with Ki, Mi, Gi, Ti, Pi or Ei"),
                );
            }
            amount
        };
        self.memory = amount("memory");
        self.storage = amount("storage");
    }

    /// What the device lacks, as sentences; nothing when it will do.
    pub fn unmet_by(&self, device: &DeviceCapabilities) -> Vec<String> {
        let mut unmet = Vec::new();
        // margo(C-24): one entry has to do; cores of several are never added up.
        let cpu_fits = device.cpus.iter().any(|cpu| {
            self.cores.is_none_or(|cores| cpu.cores >= cores)
                && (self.architectures.is_empty() || self.architectures.contains(&cpu.architecture))
        });
        if (self.cores.is_some() || !self.architectures.is_empty()) && !cpu_fits {
            let cores = self.cores.unwrap_or_default();
            let any_of = self.architectures.join(" or ");
            unmet.push(format!("needs a CPU with {cores} cores {any_of}").trim_end().to_owned());
        }
        for (what, need, have) in
            [("memory", self.memory, device.memory), ("storage", self.storage, device.storage)]
        {
            if let Some(need) = need.filter(|need| have.is_none_or(|have| have < *need)) {
                unmet.push(format!("needs {need} bytes of {what}"));
            }
        }
        for (key, needed) in [("peripherals", &self.peripherals), ("interfaces", &self.interfaces)]
        {
            let has = |kind: &str| {
                let items = device.properties.get(key).and_then(Value::as_array);
                items.into_iter().flatten().any(|it| it["type"] == kind)
            };
            unmet.extend(
                needed
                    .iter()
                    .filter(|it| !has(it))
                    .map(|it| format!("needs `{it}` among its {key}")),
            );
        }
        // margo(EL-5): rules are alternatives, a missing selector counts as true.
        let eligible = self.rules.is_empty()
            || self.rules.iter().any(|rule| {
                // margo(EL-6)
                rule.properties.iter().all(|it| it.holds(device.properties.pointer(&it.key)))
                    && rule.labels.iter().all(|it| it.holds(device.labels.get(&it.key)))
            });
        if !eligible {
            unmet.push("meets none of the application's eligibility rules".to_owned());
        }
        unmet
    }
}

impl Expression {
    // margo(EL-7, EL-8, EL-9, OP-1)
    fn holds(&self, found: Option<&Value>) -> bool {
        let objects = found.and_then(Value::as_array).filter(|it| it.iter().any(Value::is_object));
        match (&self.test, found) {
            (Test::DoesNotExist, found) => found.is_none(),
            (_, None) => false,
            (Test::ContainsAll(items), Some(_)) => objects.is_some_and(|it| {
                it.iter().any(|element| items.iter().all(|e| e.holds(element.pointer(&e.key))))
            }),
            (Test::ContainsAny(items), Some(_)) => objects.is_some_and(|it| {
                it.iter().any(|element| items.iter().any(|e| e.holds(element.pointer(&e.key))))
            }),
            (_, Some(value)) if objects.is_some() || value.is_object() => false,
            (Test::Exists, Some(_)) => true,
            (Test::In(values), Some(value)) => matches_any(value, values),
            (Test::NotIn(values), Some(value)) => !matches_any(value, values),
            (Test::Gt(bound), Some(value)) => value.as_f64().is_some_and(|it| it > *bound),
            (Test::Lt(bound), Some(value)) => value.as_f64().is_some_and(|it| it < *bound),
        }
    }
}

fn matches_any(value: &Value, values: &[Value]) -> bool {
    let one = |it: &Value| values.iter().any(|wanted| wanted == it || same_number(wanted, it));
    match value {
        Value::Array(items) => items.iter().any(one),
        scalar => one(scalar),
    }
}

fn same_number(one: &Value, other: &Value) -> bool {
    matches!((one.as_f64(), other.as_f64()), (Some(one), Some(other)) if one == other)
}

// margo(X-24, EL-5)
fn read_rule(node: &Node<'_>) -> Rule {
    let selector = |key| -> Vec<Expression> {
        let Some(selector) = node.get(key) else { return Vec::new() };
        let expressions =
            selector.need("matchExpressions").map(|it| it.items()).unwrap_or_default();
        expressions.iter().filter_map(|it| read_expression(it, true)).collect()
    };
    Rule { properties: selector("propertySelector"), labels: selector("labelSelector") }
}

// margo(OP-1, X-24)
fn read_expression(node: &Node<'_>, may_nest: bool) -> Option<Expression> {
    let key = node.need_text("key")?;
    let operator = node.need_text("operator")?;
    let values: Option<Vec<Value>> = node.get("values").map(|it| match it.value() {
        Value::Array(items) => items.clone(),
        scalar => vec![scalar.clone()],
    });
    let number = || {
        let [value] = values.as_deref()? else { return None };
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    };
    let items = || -> Option<Vec<Expression>> {
        let selector = node.get("itemSelector").filter(|_| may_nest && values.is_none())?;
        let expressions = selector.need("matchExpressions")?.items();
        Some(expressions.iter().filter_map(|it| read_expression(it, false)).collect())
    };
    let some_values = || values.clone().filter(|it| !it.is_empty());
    let test = match operator.as_str() {
        "In" => some_values().map(Test::In),
        "NotIn" => some_values().map(Test::NotIn),
        "Exists" => values.is_none().then_some(Test::Exists),
        "DoesNotExist" => values.is_none().then_some(Test::DoesNotExist),
        "Gt" => number().map(Test::Gt),
        "Lt" => number().map(Test::Lt),
        "ContainsAll" => items().map(Test::ContainsAll),
        "ContainsAny" => items().map(Test::ContainsAny),
        other => {
            node.fault_of("operator", format!("`{other}` is not an operator"));
            return None;
        }
    };
    if test.is_none() {
        node.fault_of("values", format!("do not fit the operator {operator}"));
    }
    Some(Expression { key, test: test? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document;

    fn device() -> DeviceCapabilities {
        let bytes = include_bytes!("../tests/fixtures/device-capabilities.json");
        DeviceCapabilities::parse(bytes).expect("good capabilities")
    }

    fn unmet(constraints: &Value) -> Vec<String> {
        let document = json!({"c": constraints});
        let constraints =
            document::read(&document, |root| root.get("c").map(|it| DeviceConstraints::read(&it)));
        constraints.expect("good constraints").unmet_by(&device())
    }

    fn rule(selector: &str, expression: &Value) -> Value {
        json!({"eligibilityRules": [{selector: {"matchExpressions": [expression]}}]})
    }

    // margo(C-24, EL-1, OP-2)
    #[test]
    fn capacity_is_compared_entry_by_entry() {
        let capacity = |cores: f64, memory: &str| {
            unmet(&json!({"capacityRequirements": {
                "cpu": {"cores": cores, "architectures": ["amd64"]}, "memory": memory, "storage": "96Gi"}}))
        };
        assert_eq!(capacity(4.0, "7680Mi"), Vec::<String>::new());
        assert_eq!(capacity(4.5, "7680Mi").len(), 1, "4 and 2 cores are not 6");
        assert_eq!(capacity(5.0, "8Gi").len(), 2);
    }

    // margo(OP-1, EL-6, EL-7, EL-8, EL-9)
    #[test]
    fn each_operator_selects_as_the_specification_says() {
        let quay = "tidewater.example/quay";
        for (selector, expression, holds) in [
            ("labelSelector", json!({"key": quay, "operator": "In", "values": ["north"]}), true),
            ("labelSelector", json!({"key": quay, "operator": "In", "values": ["North"]}), false),
            ("labelSelector", json!({"key": quay, "operator": "NotIn", "values": ["south"]}), true),
            (
                "labelSelector",
                json!({"key": "none", "operator": "NotIn", "values": ["south"]}),
                false,
            ),
            ("labelSelector", json!({"key": quay, "operator": "Exists"}), true),
            ("labelSelector", json!({"key": "none", "operator": "DoesNotExist"}), true),
            (
                "labelSelector",
                json!({"key": "tidewater.example/berths", "operator": "In", "values": [8]}),
                true,
            ),
            (
                "labelSelector",
                json!({"key": "tidewater.example/lab", "operator": "In", "values": [true]}),
                false,
            ),
            (
                "propertySelector",
                json!({"key": "/vendor", "operator": "In", "values": ["Dockworks"]}),
                true,
            ),
            (
                "propertySelector",
                json!({"key": "/cpus/0/cores", "operator": "Gt", "values": [3]}),
                true,
            ),
            (
                "propertySelector",
                json!({"key": "/cpus/0/cores", "operator": "Lt", "values": ["4"]}),
                false,
            ),
            ("propertySelector", json!({"key": "/peripherals", "operator": "Exists"}), false),
            (
                "propertySelector",
                json!({"key": "/peripherals", "operator": "ContainsAll", "itemSelector":
                {"matchExpressions": [{"key": "/type", "operator": "In", "values": ["camera"]},
                                      {"key": "/model", "operator": "In", "values": ["LW-3"]}]}}),
                true,
            ),
            (
                "propertySelector",
                json!({"key": "/interfaces", "operator": "ContainsAny", "itemSelector":
                {"matchExpressions": [{"key": "/type", "operator": "In", "values": ["canbus"]}]}}),
                false,
            ),
        ] {
            assert_eq!(unmet(&rule(selector, &expression)).is_empty(), holds, "{expression}");
        }
    }

    // margo(EL-5, EL-6)
    #[test]
    fn rules_are_alternatives_and_the_selectors_of_one_go_together() {
        let vendor = |it: &str| json!({"matchExpressions": [{"key": "/vendor", "operator": "In", "values": [it]}]});
        let quay = |it: &str| {
            json!({"matchExpressions": [
                {"key": "tidewater.example/quay", "operator": "In", "values": [it]}]})
        };
        let rules = |rules: Value| unmet(&json!({"eligibilityRules": rules})).is_empty();
        let both = |one: &str, other: &str| json!({"propertySelector": vendor(one), "labelSelector": quay(other)});
        assert!(rules(json!([both("Dockworks", "north")])));
        assert!(!rules(json!([both("Dockworks", "south")])));
        assert!(!rules(json!([both("Others", "north")])));
        assert!(rules(json!([both("Others", "north"), {"labelSelector": quay("north")}])));
        assert!(rules(json!([])), "no rules are no constraint");
        assert!(rules(json!([{}])), "what a rule does not select by is true");
        // The key of a label is no path.
        let as_path = json!({"matchExpressions": [
            {"key": "/tidewater.example~1quay", "operator": "Exists"}]});
        assert!(!rules(json!([{"labelSelector": as_path}])));
    }

    // margo(X-24)
    #[test]
    fn a_misspelt_selector_is_a_fault_or_selects_nothing() {
        let read = |rules: Value| {
            let document = json!({"c": {"eligibilityRules": [rules]}});
            document::read(&document, |root| root.get("c").map(|it| DeviceConstraints::read(&it)))
        };
        let label = |expressions: &str, values: &str, operator: &str| {
            let mut expression = json!({"key": "a", "operator": operator});
            expression[values] = json!(["b"]);
            let mut selector = json!({});
            selector[expressions] = json!([expression]);
            read(json!({"labelSelector": selector}))
        };
        assert!(label("matchExpressions", "values", "In").is_ok());
        assert!(label("matchExpression", "values", "In").is_err());
        assert!(label("matchExpressions", "value", "In").is_err());
        assert!(label("matchExpressions", "values", "ContainersAny").is_err());
    }

    // margo(OP-1)
    #[test]
    fn an_ill_formed_expression_is_a_fault() {
        for expression in [
            json!({"key": "/a", "operator": "In", "values": []}),
            json!({"key": "/a", "operator": "Exists", "values": [1]}),
            json!({"key": "/a", "operator": "Gt", "values": ["x"]}),
            json!({"key": "/a", "operator": "ContainsAny"}),
            json!({"operator": "Exists"}),
        ] {
            let document = json!({"c": rule("propertySelector", &expression)});
            let read = document::read(&document, |root| {
                root.get("c").map(|it| DeviceConstraints::read(&it))
            });
            assert!(read.is_err(), "{expression}");
        }
    }
}
