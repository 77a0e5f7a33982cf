//! Quota and weights between messages and the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::v1;
use api::v1::quota::{QuotaConfig, QuotaInfo, QuotaRequest};
use master_core::event::{self, OperatorCall, Text};
use master_core::quota::Quota;
use model::resources::{Resource, Role, Scalar};

type Amounts = BTreeMap<String, v1::value::Scalar>;

/// UPDATE_QUOTA.
pub(crate) fn update(update: v1::master::call::UpdateQuota) -> OperatorCall {
    let amounts = |amounts: Amounts| {
        let each = |(name, scalar): (String, v1::value::Scalar)| (Text::from(name), scalar.value);
        amounts.into_iter().map(each).collect()
    };
    let config = |config: QuotaConfig| event::QuotaConfig {
        role: Text::from(config.role),
        guarantees: amounts(config.guarantees),
        limits: amounts(config.limits),
    };
    OperatorCall::UpdateQuota {
        configs: update.quota_configs.into_iter().map(config).collect(),
        force: update.force.unwrap_or(false),
    }
}

/// SET_QUOTA.
pub(crate) fn set(request: QuotaRequest) -> OperatorCall {
    OperatorCall::SetQuota {
        role: request.role.map(Text::from),
        guarantee: api::convert::resources(&request.guarantee),
        force: request.force.unwrap_or(false),
    }
}

/// UPDATE_WEIGHTS.
pub(crate) fn weights(weights: Vec<v1::WeightInfo>) -> OperatorCall {
    let each = |info: v1::WeightInfo| (Text::from(info.role.unwrap_or_default()), info.weight);
    OperatorCall::UpdateWeights {
        weights: weights.into_iter().map(each).collect(),
    }
}

/// A quota as a message.
pub(crate) fn config(role: &Role, quota: &Quota) -> QuotaConfig {
    let amount = |(name, amount): (&Arc<str>, &Scalar)| {
        let value = amount.to_f64();
        (name.to_string(), v1::value::Scalar { value })
    };
    QuotaConfig {
        role: role.to_string(),
        guarantees: quota.guarantees.iter().map(amount).collect(),
        limits: quota.limits.iter().map(amount).collect(),
    }
}

/// A quota as a message of the older form, which has no limits.
pub(crate) fn info(role: &Role, quota: &Quota) -> QuotaInfo {
    let scalar = |(name, amount): (&Arc<str>, &Scalar)| {
        api::convert::to_resource(&Resource::scalar(name, *amount))
    };
    QuotaInfo {
        role: Some(role.to_string()),
        principal: None,
        guarantee: quota.guarantees.iter().map(scalar).collect(),
    }
}

/// A quota of a message that holds nothing out of bounds.
pub(crate) fn read(config: &QuotaConfig) -> Option<Quota> {
    let amount = |(name, scalar): (&String, &v1::value::Scalar)| {
        let amount = Scalar::from_f64(scalar.value)?;
        (amount >= Scalar::ZERO).then(|| (Arc::from(name.as_str()), amount))
    };
    Some(Quota {
        guarantees: config
            .guarantees
            .iter()
            .map(amount)
            .collect::<Option<_>>()?,
        limits: config.limits.iter().map(amount).collect::<Option<_>>()?,
    })
}
