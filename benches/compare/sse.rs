//! Reads server-sent events out of the bytes of an answer.

/// One event; `name` and `id` are empty where it has none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
}

/// Bytes that came and were not read yet.
#[derive(Default)]
pub struct Events {
    bytes: Vec<u8>,
    read: usize,
}

impl Events {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.read));
        self.bytes.extend_from_slice(bytes);
    }
}

impl Iterator for Events {
    type Item = Event;

    /// The next event that is there as a whole. Comments and events without data are passed over.
    fn next(&mut self) -> Option<Event> {
        loop {
            let rest = &self.bytes[self.read..];
            let (end, gap) = end_of_block(rest)?;
            let event = parse(&String::from_utf8_lossy(&rest[..end]));
            self.read += end + gap;
            if let Some(event) = event {
                return Some(event);
            }
        }
    }
}

/// Where the first block ends, and how long the empty line after it is.
fn end_of_block(bytes: &[u8]) -> Option<(usize, usize)> {
    (0..bytes.len()).find_map(|at| {
        let rest = &bytes[at..];
        let gap = [&b"\n\n"[..], b"\r\n\r\n"].into_iter().find(|gap| rest.starts_with(gap))?;
        Some((at, gap.len()))
    })
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut data = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event.name = value.into(),
            "id" => event.id = value.into(),
            "data" => data.push(value),
            _ => {}
        }
    }
    event.data = data.join("\n");
    (!data.is_empty()).then_some(event)
}
