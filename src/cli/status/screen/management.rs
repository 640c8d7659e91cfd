//! The lines about the subscriptions that are wanted: who keeps them, and what does not succeed.

use super::{
    super::answer::{Managed, Management},
    ROWS_MAX, Screen, Tone,
};
use crate::cli::words;

impl Screen {
    pub(super) fn management(&mut self, management: &Management) {
        let Management { manager, revision, trouble, wanted, live, failing, next_at, list } = management;
        match manager.as_str() {
            "active" => {}
            "standby" => {
                return self.line("managed", Tone::Plain, "not by this daemon: it stands by");
            }
            // Somebody else's affair.
            _ if *revision == 0 => return,
            _ => return self.line("managed", Tone::Plain, "by hand: graph.manage = false"),
        }
        let tone = if live < wanted || *failing > 0 || trouble.is_some() { Tone::Odd } else { Tone::Good };
        let next = next_at.map(|next| match next.0.duration_since(self.now) {
            Ok(wait) => format!(", next step in {}", words::brief(wait)),
            Err(_) => ", next step now".to_owned(),
        });
        let next = next.unwrap_or_default();
        self.line("managed", tone, format!("by this daemon: {wanted} wanted, {live} live{next}"));
        if let Some(trouble) = trouble {
            self.line("", Tone::Bad, format!("Graph cannot be asked: {trouble}"));
        }
        let urgent: Vec<_> = list.iter().filter(|one| !one.live || one.trouble.is_some()).collect();
        for one in urgent.iter().take(ROWS_MAX) {
            self.managed(one);
        }
        if urgent.len() > ROWS_MAX {
            let more = urgent.len() - ROWS_MAX;
            self.line("", Tone::Plain, format!("and {more} more: graphhook status --json"));
        }
    }

    fn managed(&mut self, Managed { name, live, expires_at, trouble, again_at }: &Managed) {
        let is_there = match (live, expires_at) {
            (false, _) => "not there".to_owned(),
            (true, Some(end)) => words::ends(end.0, self.now),
            (true, None) => "there".to_owned(),
        };
        let again = again_at.map(|at| at.0.duration_since(self.now).unwrap_or_default());
        let again = again.map(|wait| format!(", again in {}", words::brief(wait))).unwrap_or_default();
        let (tone, why) = match trouble {
            Some(trouble) => (Tone::Bad, format!(": {trouble}")),
            None => (Tone::Odd, String::new()),
        };
        self.line("", tone, format!("{name}: {is_there}{again}{why}"));
    }
}
