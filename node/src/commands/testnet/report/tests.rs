//! Tests of what a testnet accepts as proof, and of what it must refuse.

use super::*;
use crate::api::{BalanceView, ChainView};

fn done() -> AskDone {
    let stage = |peer: &str, layers, earned_ugft| StageView {
        peer: peer.to_owned(),
        layers,
        compute_us_per_token: 1.0,
        hop_us_per_token: 1.0,
        earned_ugft,
    };
    AskDone {
        job: "j".to_owned(),
        finish: "stop".to_owned(),
        prompt_tokens: 3,
        completion_tokens: 2,
        time_to_first_token_us: 1,
        tokens_per_second: 1.0,
        overhead_us_per_token_hop: 1.0,
        stages: vec![stage("w1", [0, 4], 60), stage("w2", [4, 8], 30)],
        burned_ugft: 100,
        commons_ugft: 10,
        held_ugft: 0,
        settled: true,
        accounting: true,
    }
}

fn balances() -> BalancesView {
    let row = |wallet: &str, balance_ugft| BalanceView {
        wallet: wallet.to_owned(),
        balance_ugft,
        available_ugft: 0,
        held_ugft: 0,
        pending_ugft: 0,
        line_ugft: 0,
    };
    BalancesView {
        schema: 1,
        balances: vec![row("a", -100), row("w1", 60), row("w2", 30)],
        next_after: None,
        commons_ugft: 10,
        sum_ugft: 0,
        chain: ChainView {
            length: 7,
            tip: "t".to_owned(),
        },
    }
}

fn chains(tips: [&str; 2]) -> Vec<Chain> {
    tips.map(|tip| Chain {
        peer: "a".to_owned(),
        length: 7,
        tip: tip.to_owned(),
    })
    .to_vec()
}

fn books() -> Books {
    Books::of(chains(["t", "t"]), &balances(), &done(), "a")
}

#[test]
fn books_that_hold_pass() {
    assert!(books().is_settled());
    books().check(&done(), 8).unwrap();
}

#[test]
fn each_broken_law_is_found_and_named() {
    let broken = |change: &dyn Fn(&mut Books, &mut AskDone), named: &str| {
        let (mut books, mut done) = (books(), done());
        change(&mut books, &mut done);
        let failure = books.check(&done, 8).unwrap_err();
        assert_eq!(failure.exit, Exit::VerifyFailed);
        assert!(failure.message.contains(named), "{failure}");
    };
    broken(&|_, done| done.completion_tokens = 0, "no tokens");
    broken(&|_, done| done.stages[1].layers = [3, 8], "tile");
    broken(&|_, done| done.stages[1].layers = [4, 7], "tile");
    broken(&|books, _| books.burned_ugft = 0, "burned");
    broken(&|_, done| done.accounting = false, "accounting is off");
    broken(&|books, _| books.commons_ugft = 11, "earned + commons");
    broken(&|_, done| done.burned_ugft = 99, "bill differ");
    broken(&|books, _| books.sum_ugft = 1, "zero");
    broken(&|books, _| books.held_ugft = 1, "held");
    broken(
        &|books, _| books.chains = chains(["t", "u"]),
        "different chains",
    );
}

#[test]
fn the_object_has_the_keys_of_the_issue_in_order() {
    let text = serde_json::to_string(&books().report(&done(), "hi")).unwrap();
    assert_eq!(
        text,
        "{\"answer\":\"hi\",\"prompt_tokens\":3,\"completion_tokens\":2,\
         \"time_to_first_token_us\":1,\"tokens_per_second\":1.0,\
         \"overhead_us_per_token_hop\":1.0,\"stages\":[\
         {\"peer\":\"w1\",\"layers\":[0,4],\"compute_us_per_token\":1.0,\
         \"hop_us_per_token\":1.0,\"earned_ugft\":60},\
         {\"peer\":\"w2\",\"layers\":[4,8],\"compute_us_per_token\":1.0,\
         \"hop_us_per_token\":1.0,\"earned_ugft\":30}],\
         \"burned_ugft\":100,\"commons_ugft\":10,\"held_ugft\":0,\"sum_ugft\":0,\
         \"chains\":[{\"peer\":\"a\",\"length\":7,\"tip\":\"t\"},\
         {\"peer\":\"a\",\"length\":7,\"tip\":\"t\"}]}"
    );
}
