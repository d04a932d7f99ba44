// SPDX-License-Identifier: GPL-2.0
//! Images as records: they go through a file unchanged, and a file that was damaged is refused or
//! has what it had.

use std::io::Write as _;
use std::path::Path;

use inetcr::{
    Compression, Datagram, DatagramHeader, Image, ImageError, ImageReader, ImageWriter, Snapshot,
    State,
};
use proptest::prelude::*;

use crate::strategies::snapshot;

/// What begins an image, if anything does: that of a document, or of a zstd frame.
const BEGINS: [&[u8]; 3] = [b"", b"{", &[0x28, 0xb5, 0x2f, 0xfd]];

const FORMS: [Compression; 2] = [Compression::None, Compression::Zstd];

fn written(image: &Image, compression: Compression) -> Vec<u8> {
    let mut file = Vec::new();
    image.write(&mut file, compression).unwrap();
    file
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn refusal(file: &[u8]) -> String {
    Image::read(file).unwrap_err().to_string()
}

fn datagram(payload: &[u8]) -> Datagram {
    let header = DatagramHeader {
        len: u32::try_from(payload.len()).ok(),
        ..DatagramHeader::default()
    };
    Datagram {
        header,
        payload: payload.to_vec(),
    }
}

/// Two sockets, one with a datagram.
fn example() -> Image {
    let state = |inode| State {
        inode: Some(inode),
        local_addr: Some([127, 0, 0, 1].into()),
        ..State::default()
    };
    let first = Snapshot::new(state(1), vec![datagram(b"hello")], None);
    Image::new([first, state(2).into()])
}

proptest! {
    // Each is of several sockets, and in three forms.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn images_go_through_a_file_unchanged(
        sockets in proptest::collection::vec(snapshot(), 0..4),
    ) {
        let image = Image::new(sockets);
        for form in FORMS {
            let file = written(&image, form);
            prop_assert_eq!(&Image::read(file.as_slice()).unwrap(), &image);
        }
        // From one form to the other and back.
        let document = image.to_json().unwrap();
        prop_assert_eq!(Image::read(document.as_bytes()).unwrap(), image);
    }

    #[test]
    fn several_changed_bytes_are_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..8),
        form in prop::sample::select(&FORMS[..]),
    ) {
        let image = example();
        let mut file = written(&image, form);
        for (place, change) in changes {
            let place = place.index(file.len());
            file[place] ^= change;
        }
        if let Ok(read) = Image::read(file.as_slice()) {
            prop_assert_eq!(read, image);
        }
    }

    #[test]
    fn any_bytes_are_an_image_or_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..256),
        begin in prop::sample::select(&BEGINS[..]),
    ) {
        bytes.splice(0..0, begin.iter().copied());
        prop_assert!(Image::read(bytes.as_slice()).is_err());
        let mut lines = written(&Image::default(), Compression::None);
        lines.extend(&bytes);
        // What nothing follows is whole.
        prop_assert_eq!(Image::read(lines.as_slice()).is_ok(), bytes.is_empty());
    }
}

/// Never silently another one: each bit of the file is turned over.
#[test]
fn each_bit_counts() {
    let image = example();
    for form in FORMS {
        let file = written(&image, form);
        let mut accepted = 0;
        for place in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[place] ^= 1 << bit;
                if let Ok(read) = Image::read(damaged.as_slice()) {
                    assert_eq!(read, image, "byte {place}, bit {bit}");
                    accepted += 1;
                }
            }
        }
        // Of lines all is under the checksum. The header of a zstd frame has a few bits to spare,
        // such as the size of the window.
        let spare = if form == Compression::None { 0 } else { 16 };
        assert!(accepted <= spare, "{accepted} changes made no difference");
    }
}

#[test]
fn what_is_cut_off_or_goes_on_is_refused() {
    for form in FORMS {
        let file = written(&example(), form);
        for len in 0..file.len() {
            assert!(Image::read(&file[..len]).is_err(), "{len} bytes");
        }
        for more in [&b"\n"[..], b" ", b"{}\n", &file] {
            let longer = [&file, more].concat();
            assert!(Image::read(longer.as_slice()).is_err(), "{more:?}");
        }
        let short = refusal(&file[..file.len() - 1]);
        assert_eq!(short, "the image is damaged: its end is missing");
    }
    // Line by line.
    let file = written(&example(), Compression::None);
    let lines: Vec<_> = file.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 5);
    for left_out in 0..lines.len() {
        let mut rest = lines.clone();
        rest.remove(left_out);
        assert!(Image::read(rest.concat().as_slice()).is_err());
    }
    for (left, right) in [(0, 1), (1, 3), (1, 2), (2, 3), (3, 4)] {
        let mut swapped = lines.clone();
        swapped.swap(left, right);
        assert!(Image::read(swapped.concat().as_slice()).is_err());
    }
}

/// The form, which later versions have to read.
#[test]
fn golden_records() {
    let file = written(&example(), Compression::None);
    let golden = concat!(
        r#"{"format":"af-inet-cr","version":4}"#,
        "\n",
        r#"{"socket":{"inode":1,"local-addr":"127.0.0.1","queue-len":1}}"#,
        "\n",
        r#"{"datagram":{"len":5},"payload":"68656c6c6f"}"#,
        "\n",
        r#"{"socket":{"inode":2,"local-addr":"127.0.0.1"}}"#,
        "\n",
        r#"{"end":{"sockets":2,"datagrams":1,"sha256":"#,
        r#""d23f6306575463653867345bce5337f0320fb8fcab685ae69328b8f42b88fc40"}}"#,
        "\n",
    );
    assert_eq!(String::from_utf8(file).unwrap(), golden);
}

#[test]
fn a_newer_or_another_format_is_refused_with_the_reason() {
    let lines = String::from_utf8(written(&example(), Compression::None)).unwrap();
    let newer = lines.replacen("\"version\":4", "\"version\":5,\"novelty\":1", 1);
    let reason = "the image has version 5, this program reads up to version 4";
    assert_eq!(refusal(newer.as_bytes()), reason);
    assert_eq!(refusal(&compressed(newer.as_bytes())), reason);
    let other = lines.replacen("af-inet-cr", "af-inet-ova", 1);
    let reason = "not an image of af-inet-cr: its format is \"af-inet-ova\"";
    assert_eq!(refusal(other.as_bytes()), reason);
    for other in [&b""[..], b"\x7fELF", b"{}", b"[]", b"\xff\xfe"] {
        let reason = refusal(other);
        assert!(
            reason.starts_with("not an image of af-inet-cr: "),
            "{reason}"
        );
        let reason = refusal(&compressed(other));
        let none = "not an image of af-inet-cr: what is compressed has no records";
        assert_eq!(reason, none);
    }
    let unknown = lines.replacen("\"inode\"", "\"inodes\"", 1);
    let reason = refusal(unknown.as_bytes());
    assert!(
        reason.contains("line 2: unknown field `inodes`"),
        "{reason}"
    );
    let edited = lines.replacen("127.0.0.1", "127.0.0.2", 1);
    assert!(refusal(edited.as_bytes()).contains("checksum"));
}

/// Small files that unpack to more than there is memory.
#[test]
fn what_would_fill_the_memory_is_refused() {
    let header = "{\"format\":\"af-inet-cr\",\"version\":4}\n";
    let begin = [header.as_bytes(), b"{\"socket\":{}}\n"].concat();
    let bomb = |begin: &[u8], again: &[u8], times: usize| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(begin).unwrap();
        let many = again.repeat(1 << 10);
        for _ in 0..times >> 10 {
            encoder.write_all(&many).unwrap();
        }
        encoder.finish().unwrap()
    };
    // A line without an end.
    let line = bomb(&begin, &[b' '; 1 << 10], 1 << 16);
    let reason = "a record is larger than 4194304 bytes, which is the most that is read";
    assert_eq!(refusal(&line), reason);
    let line = bomb(b"", &[b' '; 1 << 10], 1 << 13);
    let reason = "not an image of af-inet-cr: what is compressed has no records";
    assert_eq!(refusal(&line), reason);
    // A window of gigabytes.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    let image = written(&example(), Compression::None);
    encoder.write_all(&image).unwrap();
    let window = encoder.finish().unwrap();
    let error = Image::read(window.as_slice()).unwrap_err();
    assert!(matches!(error, ImageError::Compressed(_)), "{error}");
}

/// As long as sockets are not kept, there may be any number.
#[test]
fn many_sockets_are_read_one_after_the_other() {
    let mut writer = ImageWriter::new(Vec::new(), Compression::Zstd).unwrap();
    let socket = Snapshot::new(State::default(), vec![datagram(&[7; 60_000])], None);
    for _ in 0..200 {
        writer.add(&socket).unwrap();
    }
    let file = writer.finish().unwrap();
    let mut reader = ImageReader::new(file.as_slice()).unwrap();
    assert!(reader.all(|read| read.unwrap() == socket));
}

#[test]
fn what_cannot_be_read_or_written_says_so() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(5))
        }
    }
    let error = Image::read(Broken).unwrap_err();
    assert!(matches!(error, ImageError::Read(_)), "{error}");
    let full = std::fs::File::options().write(true).open("/dev/full");
    let error = example()
        .write(full.unwrap(), Compression::Zstd)
        .unwrap_err();
    assert!(matches!(error, ImageError::Output(_)), "{error}");
}

/// What is wrong with the kept files that are.
const REFUSALS: [(&str, &str); 16] = [
    ("behind-cork", "line 5: it comes behind the corked"),
    ("checksum", "its checksum is another one"),
    ("count", "line 7: it counts otherwise"),
    ("cut-off", "its end is missing"),
    ("cut-off-zstd", "its end is missing"),
    ("deep", "not an image of af-inet-cr: "),
    ("document-in-zstd", "what is compressed has no records"),
    ("lines-alone", "missing field `format`"),
    ("newer", "the image has version 5"),
    ("no-socket", "line 2: a datagram of no socket"),
    ("nothing", "not an image of af-inet-cr: EOF"),
    ("payload", "the payload of datagram[0] is not len bytes"),
    ("queue-len", "queue-len is 2, and there are 1"),
    ("two-corks", "line 6: it comes behind the corked"),
    ("unknown", "unknown field `novelty`"),
    ("window", "too much memory"),
];

/// Files that earlier versions have written are read, and what is wrong is refused. Of what the
/// fuzzer keeps there it is enough that it is the one or the other.
#[test]
fn kept_files_are_read_or_refused_as_before() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/image");
    let (mut good, mut bad_ones) = (0, 0);
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let read = Image::read(std::fs::File::open(&path).unwrap());
        if name.starts_with("good-") {
            assert!(read.is_ok(), "{name}: {read:?}");
        }
        if let Some(bad) = name.strip_prefix("bad-") {
            let words = REFUSALS.iter().find(|(name, _)| *name == bad);
            let (_, words) = words.unwrap_or_else(|| panic!("{name} has no words"));
            let reason = read.as_ref().unwrap_err().to_string();
            assert!(reason.contains(words), "{name}: {reason}");
            bad_ones += 1;
        }
        if let Ok(image) = read {
            good += 1;
            for form in FORMS {
                let file = written(&image, form);
                assert_eq!(Image::read(file.as_slice()).unwrap(), image, "{name}");
            }
        }
    }
    assert!(good >= 5, "{good} kept images");
    assert_eq!(bad_ones, REFUSALS.len());
}
