//! `talkoot ping`: how far away a peer is, on both planes.

use super::output;
use crate::api::{PingRequest, PingView};
use crate::cli::PingArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;

/// Prints each round trip, then the least, the median and the most.
///
/// # Errors
/// [`Exit::NotFound`] when no such peer is connected, [`Exit::TimedOut`] when
/// nothing came back.
pub fn run(args: &PingArgs, home: &Home) -> Result<(), Failure> {
    let request = PingRequest {
        peer: args.peer.clone(),
        count: args.count,
    };
    let view: PingView = Client::connect(home)?.post("ping", &request)?;
    if args.json {
        output::print_json(&view)?;
    } else {
        output::print(&text(&view))?;
    }
    if view.control_us.iter().all(Option::is_none) {
        return Err(Failure::new(Exit::TimedOut, "nothing came back")
            .hint("`talkoot peers --why` may say why"));
    }
    Ok(())
}

fn text(view: &PingView) -> String {
    let way = if view.is_relayed { "relayed" } else { "direct" };
    let name = view.label.as_ref().map_or_else(
        || output::id(&view.wallet),
        |label| format!("{label} ({})", output::id(&view.wallet)),
    );
    let mut text = format!("{name} at {} ({way})\n", view.address);
    for (index, round) in view.control_us.iter().enumerate() {
        let round = round.map_or_else(|| "no answer".to_owned(), output::micros);
        text.push_str(&format!("control  {:>3}  {round}\n", index + 1));
    }
    let mut rounds: Vec<u64> = view.control_us.iter().flatten().copied().collect();
    rounds.sort_unstable();
    if let (Some(least), Some(most)) = (rounds.first(), rounds.last()) {
        let median = rounds.get(rounds.len() / 2).unwrap_or(most);
        text.push_str(&format!(
            "control  min {} median {} max {}; {} of {} lost\n",
            output::micros(*least),
            output::micros(*median),
            output::micros(*most),
            view.control_us.len() - rounds.len(),
            view.control_us.len()
        ));
    }
    let data = match (&view.data_us, &view.data_error) {
        (Some(time), _) => format!("{} (by QUIC's estimate)", output::micros(*time)),
        (None, Some(error)) => error.clone(),
        (None, None) => "none".to_owned(),
    };
    text.push_str(&format!("data     {data}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_rounds_are_counted_and_the_way_is_named() {
        let view = PingView {
            schema: 1,
            wallet: "ab".repeat(32),
            label: Some("anna".to_owned()),
            address: "/ip4/1.2.3.4/udp/1".to_owned(),
            is_relayed: false,
            control_us: vec![Some(300), None, Some(100)],
            data_us: None,
            data_error: Some("it has no known data address".to_owned()),
        };
        let text = text(&view);
        assert!(text.starts_with("anna (abab"), "{text}");
        assert!(
            text.contains("(direct)") && text.contains("no answer"),
            "{text}"
        );
        assert!(text.contains("1 of 3 lost"), "{text}");
        assert!(text.contains("no known data address"), "{text}");
    }
}
