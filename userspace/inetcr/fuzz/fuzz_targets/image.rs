// SPDX-License-Identifier: GPL-2.0
//! Any bytes are an image or are refused, in either form. What is an image is the same after it was
//! written and read again.

#![no_main]

use inetcr::{Compression, Image, ImageReader};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // No fuzzer guesses the checksum.
    check(&with_end(bytes));
});

fn check(bytes: &[u8]) {
    let read = Image::read(bytes);
    let one_by_one = ImageReader::new(bytes).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let Ok(image) = read else {
        assert!(one_by_one.is_err());
        return;
    };
    assert_eq!(one_by_one.unwrap(), image.sockets);
    for compression in [Compression::None, Compression::Zstd] {
        let mut file = Vec::new();
        image.write(&mut file, compression).unwrap();
        assert_eq!(Image::read(file.as_slice()).unwrap(), image);
    }
    let document = image.to_json().unwrap();
    assert_eq!(Image::read(document.as_bytes()).unwrap(), image);
}

/// These lines as records, with a header and an end that go with them in the place of their own.
fn with_end(lines: &[u8]) -> Vec<u8> {
    let mut file = b"{\"format\":\"af-inet-cr\",\"version\":4}\n".to_vec();
    let own: [&[u8]; 2] = [b"{\"format\"", b"{\"end\""];
    let is_other = |line: &&[u8]| !own.iter().any(|begin| line.starts_with(begin));
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    file.extend(lines.filter(is_other).flatten());
    if file.last() != Some(&b'\n') {
        file.push(b'\n');
    }
    let count = |begin: &[u8]| {
        let lines = file.split(|byte| *byte == b'\n');
        lines.filter(|line| line.starts_with(begin)).count()
    };
    let sockets = count(b"{\"socket\"");
    let datagrams = count(b"{\"datagram\"") + count(b"{\"cork\"");
    let sha256: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    let end = format!(
        "{{\"end\":{{\"sockets\":{sockets},\"datagrams\":{datagrams},\"sha256\":\"{sha256}\"}}}}\n"
    );
    file.extend_from_slice(end.as_bytes());
    file
}
