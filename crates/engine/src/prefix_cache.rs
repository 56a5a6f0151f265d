//! Beginnings of prompts whose keys and values are kept after their sequences are gone.

use visionthink_model::{KvCache, ModelError};

use crate::image_cache::ImageKey;
use crate::sequence::{ImageTokens, Sequence};

/// Prompts of released sequences, least recently used first to go.
///
/// Requests that share a system prompt, or an image in front of the question, share the keys and values of what they
/// begin with. A prompt is found by its ids and by the content of its images, never by half an image.
#[derive(Debug)]
pub(crate) struct PrefixCache {
    /// Each at most once; the one used last is last.
    entries: Vec<Entry>,
    max_tokens: usize,
}

#[derive(Debug)]
struct Entry {
    ids: Vec<u32>,
    images: Vec<ImageKey>,
    /// One row without holes: a column an id.
    cache: KvCache,
}

impl PrefixCache {
    /// Holds prompts of up to `max_tokens` ids in all.
    pub(crate) fn new(max_tokens: usize) -> Self {
        Self { entries: Vec::new(), max_tokens }
    }

    /// Whether anything is ever kept.
    pub(crate) fn is_on(&self) -> bool {
        self.max_tokens > 0
    }

    /// Ids held.
    pub(crate) fn tokens(&self) -> usize {
        self.entries.iter().map(|entry| entry.ids.len()).sum()
    }

    /// A sequence with the longest known beginning of `ids`, whose images are `images`; at least one id is left to be
    /// run. Empty where nothing is known.
    ///
    /// # Errors
    /// As [`Sequence::chunk`].
    pub(crate) fn find(
        &mut self,
        ids: &[u32],
        images: &[ImageKey],
        image_tokens: ImageTokens,
    ) -> Result<Sequence, ModelError> {
        let shared = |entry: &Entry| shared((&entry.ids, &entry.images), (ids, images), image_tokens);
        let found = self.entries.iter().map(shared).enumerate().max_by_key(|(_, (tokens, _))| *tokens);
        let Some((index, (tokens, shown))) = found.filter(|(_, (tokens, _))| *tokens > 0) else {
            return Ok(Sequence::default());
        };
        let entry = self.entries.remove(index);
        let mut cache = entry.cache.clone();
        self.entries.push(entry);
        cache.truncate(tokens);
        Sequence::begun(ids[..tokens].to_vec(), images[..shown].to_vec(), cache, image_tokens)
    }

    /// Keeps the first prompt of a sequence that nobody will go on from.
    pub(crate) fn insert(&mut self, sequence: Sequence, image_tokens: ImageTokens) {
        let Sequence { mut ids, mut images, cache: Some(mut cache), prompt_tokens, .. } = sequence else { return };
        cache.compact();
        // A cache that does not hold a column for each id is not one whose beginning can be taken.
        if prompt_tokens == 0 || prompt_tokens > self.max_tokens || cache.columns() < prompt_tokens.max(ids.len() - 1) {
            return;
        }
        ids.truncate(prompt_tokens);
        let Some(shown) = images_of(&ids, &images, image_tokens) else { return };
        images.truncate(shown);
        let covers = |one: &[u32], other: &[u32]| one.len() >= other.len() && one[..other.len()] == *other;
        if self.entries.iter().any(|entry| covers(&entry.ids, &ids) && covers_images(&entry.images, &images)) {
            return;
        }
        self.entries.retain(|entry| !(covers(&ids, &entry.ids) && covers_images(&images, &entry.images)));
        let mut held = self.tokens() + prompt_tokens;
        while held > self.max_tokens {
            held -= self.entries.remove(0).ids.len();
        }
        cache.truncate(prompt_tokens);
        // Copied, so that the columns behind the prompt are given back.
        self.entries.push(Entry { ids, images, cache: cache.select(&[0]) });
    }
}

/// How many of the images stand in `ids`; nothing where they are not the images of all its placeholders.
fn images_of(ids: &[u32], images: &[ImageKey], image_tokens: ImageTokens) -> Option<usize> {
    let mut placeholders = ids.iter().filter(|id| Some(**id) == image_tokens.id).count();
    let mut shown = 0;
    while placeholders > 0 {
        let (grid, _) = images.get(shown)?;
        placeholders = placeholders.checked_sub(grid.tokens(image_tokens.merge))?;
        shown += 1;
    }
    Some(shown)
}

fn covers_images(one: &[ImageKey], other: &[ImageKey]) -> bool {
    one.len() >= other.len() && one[..other.len()] == *other
}

/// How many ids and images two prompts begin with alike; one id of the second is left over.
fn shared(
    (known, known_images): (&[u32], &[ImageKey]),
    (ids, images): (&[u32], &[ImageKey]),
    image_tokens: ImageTokens,
) -> (usize, usize) {
    let alike = known.iter().zip(ids).take_while(|(one, other)| one == other).count();
    let alike = alike.min(ids.len().saturating_sub(1));
    let (mut tokens, mut shown) = (0, 0);
    while tokens < alike {
        if Some(ids[tokens]) != image_tokens.id {
            tokens += 1;
            continue;
        }
        let image = images.get(shown).filter(|image| known_images.get(shown) == Some(image));
        let Some((grid, _)) = image.filter(|(grid, _)| tokens + grid.tokens(image_tokens.merge) <= alike) else {
            break;
        };
        tokens += grid.tokens(image_tokens.merge);
        shown += 1;
    }
    (tokens, shown)
}

#[cfg(test)]
mod tests {
    use visionthink_image::GridThw;

    use super::*;

    const PAD: u32 = 9;
    const IMAGES: ImageTokens = ImageTokens { id: Some(PAD), merge: 2 };

    fn image(content: u64) -> ImageKey {
        (GridThw { t: 1, h: 4, w: 4 }, content)
    }

    fn prompt(question: u32) -> Vec<u32> {
        vec![1, 2, PAD, PAD, PAD, PAD, 3, question, 4]
    }

    fn common(one: (&[u32], &[ImageKey]), other: (&[u32], &[ImageKey])) -> (usize, usize) {
        shared(one, other, IMAGES)
    }

    #[test]
    fn prompts_share_what_stands_before_they_differ() {
        let (one, other) = (prompt(5), prompt(6));
        assert_eq!(common((&one, &[image(1)]), (&other, &[image(1)])), (7, 1));
        assert_eq!(common((&one, &[image(1)]), (&one, &[image(1)])), (8, 1), "one id is left to be run");
    }

    #[test]
    fn the_images_of_a_prompt_are_those_of_its_placeholders() {
        let images = |count| (0..count).map(image).collect::<Vec<_>>();
        assert_eq!(images_of(&prompt(5), &images(2), IMAGES), Some(1));
        assert_eq!(images_of(&prompt(5), &images(0), IMAGES), None);
        assert_eq!(images_of(&prompt(5)[..4], &images(1), IMAGES), None);
        assert_eq!(images_of(&[1, 2], &images(1), IMAGES), Some(0));
    }

    #[test]
    fn an_image_is_shared_whole_and_by_its_content() {
        let (one, other) = (prompt(5), prompt(6));
        assert_eq!(common((&one, &[image(1)]), (&other, &[image(2)])), (2, 0));
        assert_eq!(common((&one[..4], &[image(1)]), (&other, &[image(1)])), (2, 0));
        let taller = (GridThw { t: 1, h: 8, w: 2 }, 1);
        assert_eq!(common((&one, &[image(1)]), (&other, &[taller])), (2, 0));
    }
}
