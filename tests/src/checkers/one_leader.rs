//! One acting leader at a time: once a master has begun to lead, none of an earlier epoch acts.

/// The epochs that have begun.
#[derive(Debug, Default)]
pub struct OneLeader {
    newest: u64,
}

impl OneLeader {
    /// A master begins to lead.
    pub fn begins(&mut self, epoch: u64) {
        self.newest = self.newest.max(epoch);
    }

    /// A master follows an event as the leader; the violation, if its time is over.
    pub fn acts(&mut self, master: usize, epoch: u64) -> Option<String> {
        let newest = self.newest;
        (epoch < newest)
            .then(|| format!("master{master} acts under epoch {epoch}, {newest} has begun"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_of_an_earlier_epoch_may_not_act() {
        let mut leader = OneLeader::default();
        leader.begins(3);
        assert_eq!(leader.acts(0, 3), None);
        leader.begins(5);
        assert_eq!(leader.acts(1, 5), None);
        assert!(leader.acts(0, 3).is_some());
    }
}
