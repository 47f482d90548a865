//! Every entry of a catalog has a file's name, and every directory lies before the one around it.
#![no_main]

use chunk_restore::files::catalog::{CatalogKind, block_len, entries, root_block};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let len = bytes.len() as u64;
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        return;
    };
    let mut blocks: Vec<_> = root_block(first, last, len).into_iter().collect();
    // A directory may be listed any number of times.
    let mut visits = 0;
    while let Some(block) = blocks.pop()
        && visits < 1000
    {
        visits += 1;
        let start = &bytes[block as usize..];
        let Ok((offset, content_len)) = block_len(&start[..start.len().min(10)], block, len) else {
            continue;
        };
        let content = &bytes[offset as usize..(offset + content_len) as usize];
        for entry in entries(content, block).map_while(Result::ok) {
            assert!(!entry.name.is_empty() && !entry.name.contains(&b'/'));
            if let CatalogKind::Directory { block: child } = entry.kind {
                assert!(child < block && child >= 8);
                blocks.push(child);
            }
        }
    }
});
