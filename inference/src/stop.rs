//! Stop strings over a stream of text.
//!
//! Text that could be the beginning of a stop string is held back until it is
//! decided, so nothing of a stop string is ever given out.

/// Finds the first occurrence of any stop string.
#[derive(Debug, Clone, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopMatcher {
    /// Watches for `stops`; empty ones are ignored.
    #[must_use]
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self {
            stops,
            held: String::new(),
            stopped: false,
        }
    }

    /// Takes a piece and returns the text that is certainly before any stop
    /// string. After the stop, [`Self::stopped`] holds and nothing more comes.
    pub fn push(&mut self, piece: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(piece);
        let first = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(start) = first {
            self.stopped = true;
            let mut before = std::mem::take(&mut self.held);
            before.truncate(start);
            return before;
        }
        let keep = self.undecided_bytes();
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// Whether a stop string was found.
    #[must_use]
    pub const fn stopped(&self) -> bool {
        self.stopped
    }

    /// What was held back, when no further text will come.
    #[must_use]
    pub fn finish(self) -> String {
        if self.stopped {
            String::new()
        } else {
            self.held
        }
    }

    /// Bytes of the longest end of the held text that begins a stop string.
    fn undecided_bytes(&self) -> usize {
        let longest = |stop: &String| {
            (1..stop.len().min(self.held.len() + 1))
                .rev()
                .find(|&length| {
                    stop.is_char_boundary(length) && self.held.ends_with(&stop[..length])
                })
                .unwrap_or(0)
        };
        self.stops.iter().map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops.iter().map(|stop| (*stop).to_owned()));
        let mut text: String = pieces.iter().map(|piece| matcher.push(piece)).collect();
        let stopped = matcher.stopped();
        text += &matcher.finish();
        (text, stopped)
    }

    #[test]
    fn a_stop_across_pieces_is_never_given_out() {
        assert_eq!(
            run(&["\nUser:"], &["hi\n", "Us", "er", ": x"]),
            ("hi".to_owned(), true)
        );
        assert_eq!(
            run(&["\nUser:"], &["hi\n", "Us", "ed"]),
            ("hi\nUsed".to_owned(), false)
        );
        assert_eq!(run(&["aab"], &["aa", "a", "b"]), ("a".to_owned(), true));
        assert_eq!(
            run(&["é!"], &["caf", "é", "?"]),
            ("café?".to_owned(), false)
        );
        assert_eq!(run(&[""], &["x"]), ("x".to_owned(), false));
    }

    #[test]
    fn the_earliest_of_several_wins() {
        assert_eq!(run(&["cd", "b"], &["abcd"]), ("a".to_owned(), true));
    }

    #[test]
    fn text_is_held_back_only_while_undecided() {
        let mut matcher = StopMatcher::new(["END".to_owned()]);
        assert_eq!(matcher.push("abE"), "ab");
        assert_eq!(matcher.push("x"), "Ex");
    }

    proptest::proptest! {
        #[test]
        fn any_cut_of_a_text_gives_the_text_before_the_first_stop(
            text in "[ab\u{e9}]{0,12}", stop in "[ab\u{e9}]{1,3}", seed in 0_u64..1000,
        ) {
            let mut matcher = StopMatcher::new([stop.clone()]);
            let mut out = String::new();
            for (index, character) in text.chars().enumerate() {
                out += &matcher.push(&character.to_string());
                if (seed >> (index % 10)) & 1 == 0 {
                    out += &matcher.push("");
                }
            }
            out += &matcher.clone().finish();
            let expected = text.find(&stop).map_or(text.as_str(), |start| &text[..start]);
            proptest::prop_assert_eq!(out, expected);
        }
    }
}
