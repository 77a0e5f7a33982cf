//! What is wrong with a CommandInfo, in Mesos' words.

use crate::v1;
use crate::v1::environment::variable::Type as VariableType;

/// The first fault of a command.
#[must_use]
pub fn fault(command: &v1::CommandInfo) -> Option<String> {
    environment(command.environment.as_ref()?)
}

fn environment(environment: &v1::Environment) -> Option<String> {
    environment.variables.iter().find_map(|variable| {
        let name = &variable.name;
        let kind = variable
            .r#type
            .and_then(|number| VariableType::try_from(number).ok());
        match kind {
            Some(VariableType::Secret) if variable.secret.is_none() => Some(format!(
                "Environment variable '{name}' of type 'SECRET' must have a secret set"
            )),
            Some(VariableType::Secret) if variable.value.is_some() => Some(format!(
                "Environment variable '{name}' of type 'SECRET' must not have a value set"
            )),
            Some(VariableType::Secret) => secret(name, variable.secret.as_ref()?),
            // VALUE is the default where the type is unset.
            Some(VariableType::Value) | None if variable.value.is_none() => Some(format!(
                "Environment variable '{name}' of type 'VALUE' must have a value set"
            )),
            Some(VariableType::Value) | None if variable.secret.is_some() => Some(format!(
                "Environment variable '{name}' of type 'VALUE' must not have a secret set"
            )),
            Some(VariableType::Unknown) => {
                Some("Environment variable of type 'UNKNOWN' is not allowed".into())
            }
            Some(VariableType::Value) | None => None,
        }
    })
}

fn secret(name: &str, secret: &v1::Secret) -> Option<String> {
    use v1::secret::Type;
    let kind = secret.r#type.and_then(|number| Type::try_from(number).ok());
    let fault = match (kind, &secret.reference, &secret.value) {
        (Some(Type::Reference), None, _) => {
            "Secret of type REFERENCE must have the 'reference' field set".into()
        }
        (Some(Type::Reference), Some(reference), Some(_)) => format!(
            "Secret '{}' of type REFERENCE must not have the 'value' field set",
            reference.name
        ),
        (Some(Type::Value), _, None) => {
            "Secret of type VALUE must have the 'value' field set".into()
        }
        (Some(Type::Value), Some(_), Some(_)) => {
            "Secret of type VALUE must not have the 'reference' field set".into()
        }
        (Some(Type::Reference | Type::Value | Type::Unknown) | None, _, value) => {
            let data = value.as_ref().map_or(&[][..], |value| &value.data);
            return data.contains(&0).then(|| {
                format!(
                    "Environment variable '{name}' specifies a secret containing null bytes, which \
                     is not allowed in the environment"
                )
            });
        }
    };
    Some(format!(
        "Environment variable '{name}' specifies an invalid secret: {fault}"
    ))
}
