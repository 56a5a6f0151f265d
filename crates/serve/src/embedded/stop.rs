//! Texts that end a reply, taken out of what is shown of it.

/// Takes text in pieces and gives it out up to the first stop text. What may be the beginning of one is held back.
#[derive(Debug)]
pub(super) struct StopCut<'a> {
    stops: &'a [String],
    pending: String,
    is_over: bool,
}

impl<'a> StopCut<'a> {
    pub(super) fn new(stops: &'a [String]) -> Self {
        Self { stops, pending: String::new(), is_over: false }
    }

    /// What is certain now.
    pub(super) fn push(&mut self, text: &str) -> String {
        if self.is_over {
            return String::new();
        }
        self.pending.push_str(text);
        if let Some(end) = first(&self.pending, self.stops) {
            self.is_over = true;
            self.pending.truncate(end);
            return std::mem::take(&mut self.pending);
        }
        let certain = self.pending.char_indices().map(|(place, _)| place).find(|place| {
            let rest = &self.pending[*place..];
            self.stops.iter().any(|stop| stop.starts_with(rest))
        });
        let rest = self.pending.split_off(certain.unwrap_or(self.pending.len()));
        std::mem::replace(&mut self.pending, rest)
    }

    /// What was held back and turned out to be no stop text.
    pub(super) fn end(&mut self) -> String {
        std::mem::take(&mut self.pending)
    }
}

/// The text in front of the first stop text.
pub(super) fn cut<'a>(text: &'a str, stops: &[String]) -> &'a str {
    &text[..first(text, stops).unwrap_or(text.len())]
}

fn first(text: &str, stops: &[String]) -> Option<usize> {
    stops.iter().filter_map(|stop| text.find(stop.as_str())).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_in_front_of_the_first_stop_text_however_it_is_cut_up() {
        let stops = ["END".to_owned(), "ENOUGH".to_owned()];
        let text = "an ENEMY at the ENOUGH END";
        for size in 1..text.len() {
            let mut cut_up = StopCut::new(&stops);
            let letters: Vec<char> = text.chars().collect();
            let told: String =
                letters.chunks(size).map(|piece| cut_up.push(&piece.iter().collect::<String>())).collect();
            assert_eq!(told + &cut_up.end(), "an ENEMY at the ", "{size}");
        }
        assert_eq!(cut(text, &stops), "an ENEMY at the ");
    }

    #[test]
    fn what_only_begins_like_a_stop_text_is_told_in_the_end() {
        let stops = ["stop".to_owned()];
        let mut cut_up = StopCut::new(&stops);
        assert_eq!(cut_up.push("a sto"), "a ");
        assert_eq!(cut_up.push("ne, sto"), "stone, ");
        assert_eq!(cut_up.end(), "sto");
    }
}
