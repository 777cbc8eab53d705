//! `gantry operator`: who may operate the fleet.

use anyhow::Result;
use operator_api::{AddOperator, NewOperator, Operator, Page};

use super::Context;
use crate::api::segment;
use crate::arguments::OperatorCommand;
use crate::{output, table};

pub(super) fn run(command: &OperatorCommand, context: &Context) -> Result<()> {
    match command {
        OperatorCommand::List => {
            let operators: Page<Operator> = context.api.get("/operators")?;
            output::result(context.format, &operators, list)
        }
        OperatorCommand::Add { name, role } => {
            let wanted = AddOperator { name: name.clone(), role: role.name().to_owned() };
            let operator: NewOperator = context.api.post("/operators", &wanted)?;
            output::result(context.format, &operator, added)
        }
        OperatorCommand::Remove { name } => {
            context.api.delete(&format!("/operators/{}", segment(name)))?;
            output::sentence(context.format, &format!("Removed {name}. The token opens nothing."))
        }
    }
}

fn list(operators: &Page<Operator>) -> String {
    let rows: Vec<[String; 2]> =
        operators.items.iter().map(|it| [it.name.clone(), it.role.clone()]).collect();
    table::render(["NAME", "ROLE"], &rows)
}

fn added(operator: &NewOperator) -> String {
    let fields = table::fields(&[
        ("Name", Some(operator.name.clone())),
        ("Role", Some(operator.role.clone())),
        ("Token", Some(operator.token.clone())),
    ]);
    format!("{fields}\nThe token is not shown again. `gantry login` takes it from a file.\n")
}
