//! Readers, read-ahead and a fetcher, in any order and with little memory.

use super::*;

fn chunk(number: usize) -> Chunk {
    Chunk {
        digest: Digest::of(&number.to_le_bytes()),
        offset: number as u64 * 10,
        len: 10,
    }
}

fn shelf(slots: usize) -> Shelf<usize> {
    let mut shelf = Shelf::default();
    shelf.set_slots(slots);
    shelf
}

fn ahead(shelf: &mut Shelf<usize>, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        shelf.want(number, chunk(number), Urgency::Ahead);
    }
}

fn wait(shelf: &mut Shelf<usize>, number: usize) -> Delivery<usize> {
    let waiting = shelf.wait_for(number, chunk(number), Urgency::Now);
    waiting.expect("the shelf is open")
}

/// What the fetcher is asked for now: position and ticket.
fn wants(shelf: &mut Shelf<usize>) -> Vec<(usize, u64)> {
    let mut wants = Vec::new();
    while let Some(step) = shelf.next_step() {
        match step {
            Step::Want(want) => wants.push((want.position, want.ticket)),
            step => panic!("{step:?}"),
        }
    }
    wants
}

fn positions(wants: &[(usize, u64)]) -> Vec<usize> {
    wants.iter().map(|(position, _)| *position).collect()
}

fn all_come(shelf: &mut Shelf<usize>, wants: &[(usize, u64)]) {
    for (position, ticket) in wants {
        shelf.came(*ticket, *position);
    }
}

#[test]
fn several_who_want_a_chunk_get_it_by_one_request() {
    let mut shelf = shelf(4);
    let waiting = [wait(&mut shelf, 1), wait(&mut shelf, 1)];
    let wants = wants(&mut shelf);
    assert_eq!(positions(&wants), [1]);
    all_come(&mut shelf, &wants);
    for waiting in waiting {
        let delivered = waiting.try_recv().expect("it has come");
        assert_eq!(*delivered.expect("it is there"), 1);
    }
    assert_eq!(shelf.take(&chunk(1).digest).as_deref(), Some(&1));
}

#[test]
fn whoever_waits_comes_before_what_is_read_ahead_and_one_slot_is_left_to_them() {
    let mut shelf = shelf(8);
    ahead(&mut shelf, 0..10);
    let _waiting: Vec<_> = (20..24).map(|number| wait(&mut shelf, number)).collect();
    let wants = wants(&mut shelf);
    assert_eq!(positions(&wants), [20, 21, 22, 23, 0, 1, 2]);
    let _another = wait(&mut shelf, 24);
    assert_eq!(positions(&super::tests::wants(&mut shelf)), [24]);
}

#[test]
fn a_chunk_that_was_asked_for_ahead_is_hurried_once_somebody_waits() {
    let mut shelf = shelf(8);
    ahead(&mut shelf, 0..2);
    let wants = wants(&mut shelf);
    let _waiting = wait(&mut shelf, 1);
    let step = shelf.next_step();
    assert!(matches!(step, Some(Step::Hurry(ticket)) if ticket == wants[1].1));
    assert!(shelf.next_step().is_none());
}

#[test]
fn a_chunk_that_is_waited_for_next_is_urgent_and_counts_as_read_ahead() {
    let mut shelf = shelf(7);
    ahead(&mut shelf, [0]);
    let asked = wants(&mut shelf);
    // One that was asked for, others that were not, and no more than may be read ahead.
    for _ in 0..2 {
        (0..5).for_each(|number| shelf.hurry(number, chunk(number)));
    }
    let step = shelf.next_step();
    assert!(matches!(step, Some(Step::Hurry(ticket)) if ticket == asked[0].1));
    let mut tickets = Vec::new();
    while let Some(Step::Want(want)) = shelf.next_step() {
        assert_eq!(want.urgency, Urgency::Now);
        tickets.push(want.ticket);
    }
    assert_eq!((shelf.asked_ahead, tickets.len()), (3, 2));
    // Whoever moves on needs none of them, unless somebody else waits.
    let _waiting = wait(&mut shelf, 0);
    (0..5).for_each(|number| shelf.withdraw(&chunk(number).digest));
    assert!(matches!(shelf.next_step(), Some(Step::Hurry(_))));
    while let Some(Step::Forget(ticket)) = shelf.next_step() {
        shelf.forgotten(ticket);
    }
    assert_eq!((shelf.occupied, shelf.entries.len()), (1, 1));
}

#[test]
fn who_moves_on_has_what_no_worker_has_begun_taken_back() {
    let mut shelf = shelf(8);
    ahead(&mut shelf, 0..20);
    let wants = wants(&mut shelf);
    let _waiting = wait(&mut shelf, wants[0].0);
    assert!(matches!(shelf.next_step(), Some(Step::Hurry(_))));
    for number in 0..20 {
        shelf.withdraw(&chunk(number).digest);
    }
    // One of them is wanted again before it is taken back.
    ahead(&mut shelf, [wants[1].0]);
    let mut forgotten = Vec::new();
    while let Some(Step::Forget(ticket)) = shelf.next_step() {
        shelf.forgotten(ticket);
        forgotten.push(ticket);
    }
    forgotten.sort_unstable();
    let tickets: Vec<u64> = wants[2..].iter().map(|(_, ticket)| *ticket).collect();
    assert_eq!(forgotten, tickets);
    assert_eq!(shelf.occupied, 2);
    assert!(shelf.next_step().is_none(), "those without a slot are gone");
}

#[test]
fn the_chunk_that_was_used_longest_ago_makes_room_and_unread_ones_stay() {
    let mut shelf = shelf(4);
    let _waiting: Vec<_> = (0..2).map(|number| wait(&mut shelf, number)).collect();
    ahead(&mut shelf, [10]);
    let wants = wants(&mut shelf);
    all_come(&mut shelf, &wants);
    drop(_waiting);
    shelf.take(&chunk(0).digest);
    let _third = wait(&mut shelf, 3);
    let _fourth = wait(&mut shelf, 4);
    assert_eq!(positions(&super::tests::wants(&mut shelf)), [3, 4]);
    assert!(shelf.peek(&chunk(1).digest).is_none(), "used before 0");
    assert!(shelf.peek(&chunk(0).digest).is_some());
    assert!(shelf.peek(&chunk(10).digest).is_some());
}

#[test]
fn a_chunk_that_is_wanted_again_makes_room_no_sooner_than_others() {
    let mut shelf = shelf(8);
    ahead(&mut shelf, 0..2);
    let asked = wants(&mut shelf);
    all_come(&mut shelf, &asked);
    for number in 0..2 {
        shelf.withdraw(&chunk(number).digest);
    }
    ahead(&mut shelf, [0]);
    for number in 10..18 {
        let _waiting = wait(&mut shelf, number);
        let asked = wants(&mut shelf);
        all_come(&mut shelf, &asked);
    }
    assert!(shelf.peek(&chunk(0).digest).is_some());
    assert!(shelf.peek(&chunk(1).digest).is_none());
}

#[test]
fn chunks_that_were_read_ahead_push_one_another_out_only_when_they_are_stale() {
    let mut shelf = shelf(7);
    ahead(&mut shelf, 0..10);
    let first = wants(&mut shelf);
    assert_eq!(positions(&first), [0, 1, 2]);
    all_come(&mut shelf, &first);
    assert!(wants(&mut shelf).is_empty());
    // One that is read makes room for the next.
    shelf.take(&chunk(0).digest);
    assert_eq!(positions(&wants(&mut shelf)), [3]);
    // The fill waits for chunks that come behind all others.
    let mut shelf = super::tests::shelf(7);
    ahead(&mut shelf, 0..3);
    let first = wants(&mut shelf);
    all_come(&mut shelf, &first);
    let _filling = shelf.wait_for(20, chunk(20), Urgency::Ahead);
    assert_eq!(positions(&wants(&mut shelf)), [20]);
    let mut shelf = super::tests::shelf(7);
    ahead(&mut shelf, 0..4);
    let first = wants(&mut shelf);
    all_come(&mut shelf, &first);
    for number in 100..120 {
        let waiting = wait(&mut shelf, number);
        let next = wants(&mut shelf);
        all_come(&mut shelf, &next);
        drop(waiting);
    }
    assert!(shelf.peek(&chunk(0).digest).is_none() && shelf.peek(&chunk(3).digest).is_some());
}

#[test]
fn hints_take_no_more_memory_than_a_few_of_them_would() {
    let mut shelf = shelf(8);
    ahead(&mut shelf, 0..100_000);
    assert!(shelf.entries.len() <= 16 && shelf.waiting_ahead.len() <= 16);
    // Those that are withdrawn make room for others, and whoever waits is never turned away.
    (0..100_000).for_each(|number| shelf.withdraw(&chunk(number).digest));
    ahead(&mut shelf, 200_000..200_002);
    let _filling = shelf.wait_for(300_000, chunk(300_000), Urgency::Ahead);
    assert_eq!(positions(&wants(&mut shelf)), [300_000, 200_000, 200_001]);
}

#[test]
fn chunks_that_were_read_keep_slots_however_little_memory_there_is() {
    for (slots, most) in [(1, 0), (2, 1), (5, 1), (7, 3), (15, 11), (40, 30)] {
        assert_eq!(shelf(slots).ahead_max(), most, "{slots}");
    }
}

#[test]
fn a_chunk_that_is_being_copied_makes_no_room() {
    let mut shelf = shelf(1);
    let first = wait(&mut shelf, 0);
    let wants = wants(&mut shelf);
    all_come(&mut shelf, &wants);
    let copied = first.try_recv().expect("it has come").expect("it is there");
    let _second = wait(&mut shelf, 1);
    assert!(shelf.next_step().is_none() && shelf.is_starved());
    drop(copied);
    assert_eq!(positions(&super::tests::wants(&mut shelf)), [1]);
    assert!(!shelf.is_starved());
}

#[test]
fn a_failure_reaches_those_who_wait_for_that_chunk_alone() {
    let mut shelf = shelf(4);
    let waiting = [
        wait(&mut shelf, 0),
        wait(&mut shelf, 0),
        wait(&mut shelf, 1),
    ];
    let wants = wants(&mut shelf);
    let error = Error::new(crate::error::ErrorKind::Missing, "gone");
    shelf.failed(wants[0].1, &error);
    assert!(waiting[0].try_recv().is_ok_and(|of| of.is_err()));
    assert!(waiting[1].try_recv().is_ok_and(|of| of.is_err()));
    assert!(waiting[2].try_recv().is_err());
    assert_eq!(shelf.occupied, 1);
    shelf.close(&error);
    assert!(waiting[2].try_recv().is_ok_and(|of| of.is_err()));
    assert!(shelf.wait_for(5, chunk(5), Urgency::Now).is_err());
    assert!(shelf.next_step().is_none());
}

/// Readers, read-ahead, seeks and a fetcher in any order: every wait ends, and no more chunks are
/// asked for and here than there are slots.
#[test]
fn every_wait_ends_however_little_memory_there_is() {
    let mut chance = 1_u64;
    let mut below = |limit: u64| {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (chance >> 33) % limit
    };
    for slots in [1, 2, 3, 8] {
        let mut shelf = shelf(slots);
        let mut fetching: Vec<(usize, u64)> = Vec::new();
        let mut waiting: Vec<(usize, Delivery<usize>)> = Vec::new();
        let mut filling: Option<Delivery<usize>> = None;
        for _ in 0..20_000 {
            let number = below(12) as usize;
            match below(8) {
                0 if waiting.len() < 10 && shelf.take(&chunk(number).digest).is_none() => {
                    waiting.push((number, wait(&mut shelf, number)));
                }
                // The fill waits for one chunk at a time, behind all others.
                4 if filling.is_none() && shelf.peek(&chunk(number).digest).is_none() => {
                    let delivery = shelf.wait_for(number, chunk(number), Urgency::Ahead);
                    filling = delivery.ok();
                }
                5 => shelf.set_slots(1 + below(slots as u64) as usize),
                1 => ahead(&mut shelf, number..number + 5),
                6 => shelf.hurry(number, chunk(number)),
                2 => shelf.withdraw(&chunk(number).digest),
                3 if !fetching.is_empty() => {
                    let at = below(fetching.len() as u64) as usize;
                    let (position, ticket) = fetching.swap_remove(at);
                    match below(5) {
                        0 => shelf.failed(
                            ticket,
                            &Error::new(crate::error::ErrorKind::Missing, "gone"),
                        ),
                        _ => _ = shelf.came(ticket, position),
                    }
                }
                _ => {}
            }
            waiting.retain(|(number, delivery)| match delivery.try_recv() {
                Ok(Ok(data)) => {
                    assert_eq!(*data, *number);
                    false
                }
                Ok(Err(_)) => false,
                Err(_) => true,
            });
            filling.take_if(|delivery| delivery.try_recv().is_ok());
            while let Some(step) = shelf.next_step() {
                match step {
                    Step::Want(want) => fetching.push((want.position, want.ticket)),
                    Step::Forget(ticket) => {
                        shelf.forgotten(ticket);
                        fetching.retain(|(_, of)| *of != ticket);
                    }
                    Step::Hurry(_) => {}
                }
            }
            let here = shelf.used.len() + shelf.unread.len();
            assert_eq!(shelf.occupied, here + shelf.asked.len());
            assert!(fetching.len() == shelf.asked.len());
            // Something is always on its way to those who wait.
            let is_waited_for = !waiting.is_empty() || filling.is_some();
            assert!(!is_waited_for || !fetching.is_empty());
        }
    }
}
