use std::{future::poll_fn, net::IpAddr};

use http::{HeaderMap, HeaderValue};

use super::{forwarded::ForwardedHeader, *};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn peers(limits: GatewayLimits) -> Peers {
    Peers::new(limits, TrustedProxies::default(), Saturation::default())
}

fn displaced(slot: &SocketSlot) -> bool {
    let mut task = tokio_test::task::spawn(poll_fn(|cx| slot.poll_displaced(cx)));
    task.poll().is_ready()
}

fn open(peers: &Peers) -> (usize, usize) {
    let SocketsOpen { authenticated, unauthenticated } = peers.sockets_open();
    (authenticated, unauthenticated)
}

#[test]
fn iso_6_an_ipv6_address_counts_with_its_64_and_a_mapped_one_as_ipv4() {
    let key = |text| PeerKey::from(ip(text));
    assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::9"));
    assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
    assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
}

#[test]
fn iso_6_the_oldest_unauthenticated_socket_of_the_peer_with_the_most_is_displaced() {
    let peers = peers(GatewayLimits { unauthenticated_sockets_max: 3, ..GatewayLimits::DEFAULT });
    let crowd: Vec<_> = (0..2).map(|_| peers.accept(ip("192.0.2.1")).unwrap()).collect();
    let alone = peers.accept(ip("192.0.2.2")).unwrap();
    let next = peers.accept(ip("192.0.2.3")).unwrap();
    assert_eq!((displaced(&crowd[0]), displaced(&crowd[1])), (true, false));
    assert!(!displaced(&alone) && !displaced(&next));
    assert_eq!(open(&peers), (1, 3), "the displaced one is open until it is gone");
    drop(crowd);
    drop((alone, next));
    assert_eq!(open(&peers), (0, 0));
    let sockets = peers.sockets();
    assert!(sockets.of_peer.is_empty() && sockets.crowds.is_empty(), "iso_5: nothing is left of a peer");
}

#[test]
fn iso_6_authenticated_sockets_are_not_displaced() {
    let peers = peers(GatewayLimits { unauthenticated_sockets_max: 1, ..GatewayLimits::DEFAULT });
    let member = peers.accept(ip("192.0.2.1")).unwrap();
    member.is_member();
    let busy = peers.accept(ip("192.0.2.1")).unwrap();
    busy.is_busy();
    let stranger = peers.accept(ip("192.0.2.1")).unwrap();
    let _next = peers.accept(ip("192.0.2.1")).unwrap();
    assert!(displaced(&stranger) && !displaced(&busy) && !displaced(&member));
    // After the response, the idle socket may be displaced like an unauthenticated one.
    assert!(busy.is_idle() && member.is_idle());
    assert!(peers.make_room() && peers.make_room() && !peers.make_room());
    assert!(displaced(&busy) && !displaced(&member));
}

#[test]
fn iso_6_a_peer_at_its_limit_displaces_its_own_sockets() {
    let peers = peers(GatewayLimits { peer_sockets_max: 2, ..GatewayLimits::DEFAULT });
    let other = peers.accept(ip("192.0.2.2")).unwrap();
    let first = peers.accept(ip("2001:db8::1")).unwrap();
    let second = peers.accept(ip("2001:db8::2")).unwrap();
    let third = peers.accept(ip("2001:db8::3")).unwrap();
    assert!(displaced(&first) && !displaced(&second) && !displaced(&other));
    drop(first);
    second.is_member();
    third.is_member();
    assert_eq!(peers.accept(ip("2001:db8::4")).err(), Some(PeerFull));
    drop(second);
    assert!(peers.accept(ip("2001:db8::4")).is_ok());
}

#[test]
fn iso_6_no_setting_gives_all_sockets_to_unauthenticated_peers_or_one_address() {
    let peers = peers(GatewayLimits { sockets_max: 8, ..GatewayLimits::DEFAULT });
    let places: Vec<_> = (0..20).map(|_| peers.accept(ip("192.0.2.1")).unwrap()).collect();
    assert_eq!(places.iter().filter(|slot| !displaced(slot)).count(), 4);
    drop(places);
    // Those that are authenticated, three quarters of all.
    let members: Vec<_> = (0..6).map(|_| peers.accept(ip("192.0.2.1")).unwrap()).collect();
    members.iter().for_each(SocketSlot::is_member);
    assert_eq!(peers.accept(ip("192.0.2.1")).err(), Some(PeerFull));
    assert!(peers.accept(ip("192.0.2.2")).is_ok());
}

#[test]
fn iso_6_a_proxys_sockets_count_for_its_clients() {
    let trusted = TrustedProxies::parse(["10.0.0.1"], ForwardedHeader::XForwardedFor).unwrap();
    let limits = GatewayLimits { peer_sockets_max: 1, ..GatewayLimits::DEFAULT };
    let peers = Peers::new(limits, trusted, Saturation::default());
    let places: Vec<_> = (0..4).map(|_| peers.accept(ip("10.0.0.1")).unwrap()).collect();
    let of = |client: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_str(client).unwrap());
        headers
    };
    assert_eq!(places[0].resolve(&of("192.0.2.1")), Ok(PeerAddr(ip("192.0.2.1"))));
    assert_eq!(places[1].resolve(&of("192.0.2.2")), Ok(PeerAddr(ip("192.0.2.2"))));
    places[0].is_member();
    assert_eq!(places[2].resolve(&of("192.0.2.1")), Err(PeerFull));
    assert_eq!(places[2].resolve(&of("192.0.2.2")), Ok(PeerAddr(ip("192.0.2.2"))));
    assert!(displaced(&places[1]) && !displaced(&places[3]));
    assert_eq!(open(&peers).0 + open(&peers).1, 4);
    drop(places);
    assert!(peers.sockets().of_peer.is_empty());
}

#[tokio::test(start_paused = true)]
async fn auth_failures_of_a_peer_are_limited_and_forgiven() {
    let peers = peers(GatewayLimits { peer_auth_failures_per_minute_max: 6, ..GatewayLimits::DEFAULT });
    let (one, other) = (PeerAddr(ip("192.0.2.1")), PeerAddr(ip("192.0.2.2")));
    for _ in 0..6 {
        assert_eq!(peers.may_try(one), Ok(()));
        peers.failed(one);
    }
    assert_eq!(peers.may_try(one), Err(PeerLimited { retry_after_ms: 10_000 }));
    assert_eq!(peers.may_try(other), Ok(()));
    peers.failed(one);
    assert!(peers.may_try(one).is_err(), "more failures do not make it longer than full");
    tokio::time::advance(Duration::from_millis(10_001)).await;
    assert_eq!(peers.may_try(one), Ok(()));
    peers.failed(one);
    assert!(peers.may_try(one).is_err());
}

#[tokio::test(start_paused = true)]
async fn iso_5_peers_that_are_remembered_are_bounded() {
    let limits =
        GatewayLimits { peers_max: 16, peer_auth_failures_per_minute_max: 1, ..GatewayLimits::DEFAULT };
    let peers = peers(limits);
    for n in 0..1_000u32 {
        peers.failed(PeerAddr(IpAddr::from((n + 0x0a00_0000).to_be_bytes())));
    }
    assert!(peers.0.failures.remembered() <= 16);
    let last = PeerAddr(IpAddr::from((999 + 0x0a00_0000u32).to_be_bytes()));
    assert!(peers.may_try(last).is_err(), "the newest is remembered");
}
