//! The way of one token through the stages, drawn with plain characters: how
//! long it waits and is computed in each, and what the link to the next takes.

use crate::api::RunDetailView;
use crate::commands::output;

/// Characters of the whole way.
const WIDTH: u64 = 48;

/// One part of the way.
struct Part {
    name: String,
    p50: u64,
    p95: u64,
    mark: char,
}

/// One line for each part, each where the one before ends: medians as bars, and
/// both percentiles as numbers.
pub(super) fn draw(view: &RunDetailView) -> String {
    let parts = parts(view);
    let total: u64 = parts.iter().map(|part| part.p50).sum();
    if total == 0 {
        return "no times: they begin with the second token, and a job's asker and its own \
                workers see them\n"
            .to_owned();
    }
    let mut text = format!(
        "a token's way, medians over {} tokens: {} in all (# computing, . waiting, ~ wire)\n\
         {:<26}{:>10}{:>10}\n",
        view.tokens.len().saturating_sub(1),
        output::micros(total),
        "",
        "p50",
        "p95"
    );
    let mut at = 0;
    for part in parts {
        let (from, to) = (at * WIDTH / total, (at + part.p50) * WIDTH / total);
        at += part.p50;
        let indent = " ".repeat(usize::try_from(from).unwrap_or(0));
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        let bar: String = std::iter::repeat_n(part.mark, length.max(1)).collect();
        text.push_str(&format!(
            "{:<26}{:>10}{:>10}  {indent}{bar}\n",
            part.name,
            output::micros(part.p50),
            output::micros(part.p95)
        ));
    }
    text
}

fn parts(view: &RunDetailView) -> Vec<Part> {
    let mut parts = Vec::new();
    for hop in &view.hops {
        let place = view.run.stages.get(hop.stage).map_or_else(
            || format!("stage {}", hop.stage + 1),
            |stage| {
                let (peer, layers) = (output::peer(&stage.peer), output::layers(stage.layers));
                format!("{} {peer} {layers}", hop.stage + 1)
            },
        );
        parts.push(Part {
            name: format!("{place} waits"),
            p50: hop.wait_us.p50,
            p95: hop.wait_us.p95,
            mark: '.',
        });
        parts.push(Part {
            name: format!("{place} computes"),
            p50: hop.compute_us.p50,
            p95: hop.compute_us.p95,
            mark: '#',
        });
        // A worker cannot know the wire.
        if view.run.role == "asker" {
            let next = (hop.stage + 1) % view.run.stages.len().max(1) + 1;
            parts.push(Part {
                name: match view.run.stages.len() {
                    0 | 1 => format!("{place} to the asker"),
                    _ => format!("{place} wire to {next}"),
                },
                p50: hop.wire_us.p50,
                p95: hop.wire_us.p95,
                mark: '~',
            });
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::jobs::tests::job;

    #[test]
    fn bars_follow_each_other_and_are_as_long_as_their_share() {
        let text = draw(&job());
        let bar = |line: &str| line.chars().skip(48).collect::<String>();
        let bars: Vec<String> = text.lines().skip(2).map(bar).collect();
        let count = |bar: &str, mark: char| bar.chars().filter(|c| *c == mark).count();
        // 100 + 400 + 20 + 100 + 300 + 80: two fifths of the way are the first's work.
        let hashes: Vec<usize> = bars.iter().map(|bar| count(bar, '#')).collect();
        assert_eq!(hashes, [0, 20, 0, 0, 15, 0], "{text}");
        assert!(bars[5].trim_start().starts_with('~'), "{text}");
        assert!(bars[4].find('#') > bars[1].find('#'), "{text}");
        assert!(text.contains("1 abababab 0..4 wire to 2"), "{text}");
        assert!(text.contains("2 abababab 4..8 wire to 1"), "{text}");
    }

    #[test]
    fn a_worker_sees_no_wire() {
        let mut view = job();
        view.run.role = "worker".to_owned();
        view.hops.truncate(1);
        let text = draw(&view);
        assert_eq!(text.lines().count(), 2 + 2, "{text}");
        assert!(!text.contains("wire to"), "{text}");
    }

    #[test]
    fn without_times_it_says_why() {
        let mut view = job();
        view.hops.clear();
        assert!(draw(&view).starts_with("no times"));
    }
}
