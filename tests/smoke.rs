//! Smoke.
use annals::*;
#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.annals");
    let options = Options::new().segment_len_max(64 << 10).checkpoint_event_count(100);
    let store = options.open(&path).unwrap();
    for n in 0..2000u64 {
        let r = store
            .append(
                &format!("s{}", n % 7),
                Expected::Exact(n / 7),
                [NewEvent::text("t", format!("payload {n}").repeat(10))],
            )
            .unwrap();
        assert_eq!(r.first().get(), n);
    }
    let check = |store: &Store| {
        assert_eq!(store.end().get(), 2000);
        let all: Vec<_> = store.read_all().map(|e| e.unwrap()).collect();
        assert_eq!(all.len(), 2000);
        let mut back: Vec<_> =
            store.read_all().backwards().map(|e| e.unwrap().position().get()).collect();
        back.reverse();
        assert_eq!(back, (0..2000).collect::<Vec<_>>());
        let s3: Vec<_> = store.read_stream("s3").map(|e| e.unwrap().position().get()).collect();
        assert_eq!(s3, (0..2000).filter(|n| n % 7 == 3).collect::<Vec<_>>());
        let mut s3b: Vec<_> =
            store.read_stream("s3").backwards().map(|e| e.unwrap().position().get()).collect();
        s3b.reverse();
        assert_eq!(s3b, s3);
        for e in all.iter().step_by(37) {
            assert_eq!(store.position_at(e.recorded_at()).unwrap(), e.position());
            assert_eq!(
                store.read_all().recorded(e.recorded_at()..).next().unwrap().unwrap().position(),
                e.position()
            );
            assert_eq!(store.read_all().from(e.position()).next().unwrap().unwrap().id(), e.id());
        }
        let names: Vec<_> = store.streams().map(|s| s.unwrap().name().to_owned()).collect();
        assert_eq!(names, ["s0", "s1", "s2", "s3", "s4", "s5", "s6"]);
    };
    check(&store);
    store.close().unwrap();
    assert!(matches!(store.read_all().next(), Some(Err(Error::Closed))));
    let store = options.open(&path).unwrap();
    println!("{:?}", store.recovery());
    check(&store);
    drop(store);
    std::fs::remove_dir_all(path.join("index")).unwrap();
    std::fs::remove_file(path.join("clean")).unwrap();
    let store = options.open(&path).unwrap();
    println!("{:?}", store.recovery());
    check(&store);
    for e in std::fs::read_dir(path.join("log")).unwrap() {
        println!("{:?}", e.unwrap());
    }
}
