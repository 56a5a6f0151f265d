//! Server-sent events, read.

/// More than any chunk of a completion; a server that sends more without an end of line sends something else.
const MAX_LINE_BYTES: usize = 8 << 20;

/// Takes bytes as they come and gives out the data of whole events. Comments and fields other than `data` are skipped; lines
/// may end in `\n` or `\r\n`. Source: the WHATWG HTML standard, "Server-sent events".
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    line: Vec<u8>,
    data: Option<String>,
}

/// The stream is no stream of events.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotEvents {
    TooLong,
    NotText,
}

impl EventReader {
    /// Data of the events that these bytes complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, NotEvents> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(end);
            self.line.extend_from_slice(head);
            rest = tail.get(1..).unwrap_or_default();
            let line = std::mem::take(&mut self.line);
            events.extend(self.take_line(line)?);
        }
        self.line.extend_from_slice(rest);
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if held > MAX_LINE_BYTES { Err(NotEvents::TooLong) } else { Ok(events) }
    }

    fn take_line(&mut self, line: Vec<u8>) -> Result<Option<String>, NotEvents> {
        let line = String::from_utf8(line).map_err(|_| NotEvents::NotText)?;
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if line.is_empty() {
            return Ok(self.data.take());
        }
        if let Some(data) = line.strip_prefix("data:") {
            let data = data.strip_prefix(' ').unwrap_or(data);
            match &mut self.data {
                Some(before) => {
                    before.push('\n');
                    before.push_str(data);
                }
                None => self.data = Some(data.to_owned()),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_are_read_whatever_stands_between_them() {
        let mut reader = EventReader::default();
        let text = ": hello\r\ndata: {\"a\":1}\r\n\r\nevent: x\nid: 3\ndata:b\ndata: c\n\n\n\ndata: [DO";
        assert_eq!(reader.push(text.as_bytes()).unwrap(), ["{\"a\":1}", "b\nc"]);
        assert_eq!(reader.push(b"NE]\n\n").unwrap(), ["[DONE]"]);
    }

    #[test]
    fn what_is_no_text_or_has_no_end_is_refused() {
        assert_eq!(EventReader::default().push(b"data: \xff\n"), Err(NotEvents::NotText));
        assert_eq!(EventReader::default().push(&vec![b'x'; MAX_LINE_BYTES + 1]), Err(NotEvents::TooLong));
        let mut reader = EventReader::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; MAX_LINE_BYTES / 2 - 8], b"\n"].concat();
        assert_eq!(reader.push(&line), Ok(Vec::new()));
        assert_eq!(reader.push(&line), Ok(Vec::new()));
        assert_eq!(reader.push(&line), Err(NotEvents::TooLong));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            lines in prop::collection::vec("(data: ?)?[a-zé:]{0,5}(\r)?", 0..12), cut in 0..60usize,
        ) {
            let text = lines.join("\n");
            let bytes = text.as_bytes();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            let mut reader = EventReader::default();
            let mut events = reader.push(head).unwrap();
            events.extend(reader.push(tail).unwrap());
            prop_assert_eq!(events, EventReader::default().push(bytes).unwrap());
        }

        #[test]
        fn any_bytes_are_events_or_an_error(bytes: Vec<u8>) {
            let _ = EventReader::default().push(&bytes);
        }
    }
}
