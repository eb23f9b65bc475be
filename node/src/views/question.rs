//! Questions about the books: each knows its path below `/api/v1/ledger/` and
//! its answer from a [`Ledger`].
//!
//! So HTTP, the command line and the observer share one list of questions, and
//! whoever can reach a ledger can answer all of them.

use super::{accounts, credits, earnings, entries, forks, genesis, jobs};
use crate::api::{
    ArrivalsQuestion, ArrivalsView, AskError, AuthorQuestion, AuthorView, BalancesQuestion,
    BalancesView, CreditsQuestion, CreditsView, EarningsQuestion, EarningsView, EntriesQuestion,
    EntriesView, EntryQuestion, EntryView, ForksQuestion, ForksView, GenesisQuestion, GenesisView,
    JobQuestion, JobView, StatementQuestion, StatementView,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use talkoot_ledger::Ledger;

/// One question about the books.
pub trait LedgerQuestion: std::fmt::Debug + Clone + Send + Sync + 'static {
    /// The shape of the answer.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Path and query below `/api/v1/ledger/`.
    fn path(&self) -> String;

    /// The answer.
    ///
    /// # Errors
    /// [`AskError`] when what is asked for is not there, or not one thing.
    fn answer(&self, ledger: &Ledger) -> Result<Self::Answer, AskError>;
}

impl LedgerQuestion for EntriesQuestion {
    type Answer = EntriesView;

    fn path(&self) -> String {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        with_query(
            "entries",
            &[
                ("from", number(self.from)),
                ("before", number(self.before)),
                ("count", self.count.map(|count| count.to_string())),
                ("author", self.author.clone()),
                ("kind", self.kind.clone()),
                ("job", self.job.clone()),
                ("effect", self.effect.clone()),
                ("bytes", self.bytes.then(|| "true".to_owned())),
            ],
        )
    }

    fn answer(&self, ledger: &Ledger) -> Result<EntriesView, AskError> {
        entries::page(ledger, self)
    }
}

impl LedgerQuestion for ArrivalsQuestion {
    type Answer = ArrivalsView;

    fn path(&self) -> String {
        let from = self.from.map(|from| from.to_string());
        with_query("arrivals", &[("from", from)])
    }

    fn answer(&self, ledger: &Ledger) -> Result<ArrivalsView, AskError> {
        Ok(entries::arrivals(ledger, self.from))
    }
}

impl LedgerQuestion for EntryQuestion {
    type Answer = EntryView;

    fn path(&self) -> String {
        format!("entries/{}", encoded(&self.id))
    }

    fn answer(&self, ledger: &Ledger) -> Result<EntryView, AskError> {
        entries::entry(ledger, &self.id)
    }
}

impl LedgerQuestion for AuthorQuestion {
    type Answer = AuthorView;

    fn path(&self) -> String {
        format!("authors/{}", encoded(&self.wallet))
    }

    fn answer(&self, ledger: &Ledger) -> Result<AuthorView, AskError> {
        accounts::author(ledger, &self.wallet)
    }
}

impl LedgerQuestion for JobQuestion {
    type Answer = JobView;

    fn path(&self) -> String {
        format!("jobs/{}", encoded(&self.id))
    }

    fn answer(&self, ledger: &Ledger) -> Result<JobView, AskError> {
        jobs::job(ledger, &self.id)
    }
}

impl LedgerQuestion for BalancesQuestion {
    type Answer = BalancesView;

    fn path(&self) -> String {
        with_query("balances", &[("after", self.after.clone())])
    }

    fn answer(&self, ledger: &Ledger) -> Result<BalancesView, AskError> {
        accounts::balances(ledger, self.after.as_deref())
    }
}

impl LedgerQuestion for EarningsQuestion {
    type Answer = EarningsView;

    fn path(&self) -> String {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        with_query(
            "earnings",
            &[
                ("wallet", self.wallet.clone()),
                ("bucket_ms", number(self.bucket_ms)),
                ("count", self.count.map(|count| count.to_string())),
                ("until_ms", number(self.until_ms)),
            ],
        )
    }

    fn answer(&self, ledger: &Ledger) -> Result<EarningsView, AskError> {
        earnings::earnings(ledger, self)
    }
}

impl LedgerQuestion for CreditsQuestion {
    type Answer = CreditsView;

    fn path(&self) -> String {
        with_query("credits", &[("wallet", self.wallet.clone())])
    }

    fn answer(&self, ledger: &Ledger) -> Result<CreditsView, AskError> {
        credits::credits(ledger, self)
    }
}

impl LedgerQuestion for StatementQuestion {
    type Answer = StatementView;

    fn path(&self) -> String {
        let before = self.before.map(|before| before.to_string());
        let count = self.count.map(|count| count.to_string());
        let wallet = self.wallet.clone();
        with_query(
            "statement",
            &[("wallet", wallet), ("before", before), ("count", count)],
        )
    }

    fn answer(&self, ledger: &Ledger) -> Result<StatementView, AskError> {
        credits::statement(ledger, self)
    }
}

impl LedgerQuestion for ForksQuestion {
    type Answer = ForksView;

    fn path(&self) -> String {
        "forks".to_owned()
    }

    fn answer(&self, ledger: &Ledger) -> Result<ForksView, AskError> {
        Ok(forks::forks(ledger))
    }
}

impl LedgerQuestion for GenesisQuestion {
    type Answer = GenesisView;

    fn path(&self) -> String {
        "genesis".to_owned()
    }

    fn answer(&self, ledger: &Ledger) -> Result<GenesisView, AskError> {
        Ok(genesis(ledger))
    }
}

fn with_query(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let mut text = path.to_owned();
    let set = pairs
        .iter()
        .filter_map(|(key, value)| Some((key, value.as_ref()?)));
    for (index, (key, value)) in set.enumerate() {
        let separator = if index == 0 { '?' } else { '&' };
        text.push_str(&format!("{separator}{key}={}", encoded(value)));
    }
    text
}

/// Percent-encoded for a path or a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().fold(String::new(), |mut out, byte| {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_have_paths_that_survive_anything_typed() {
        let question = EntriesQuestion {
            before: Some(7),
            author: Some("a b&c".to_owned()),
            bytes: true,
            ..EntriesQuestion::default()
        };
        assert_eq!(
            question.path(),
            "entries?before=7&author=a%20b%26c&bytes=true"
        );
        assert_eq!(EntriesQuestion::default().path(), "entries");
        let id = "../status".to_owned();
        assert_eq!(EntryQuestion { id }.path(), "entries/..%2Fstatus");
    }
}
