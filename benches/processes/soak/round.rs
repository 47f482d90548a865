//! What one round is, all of it chosen by the dice of its seed. Knows nothing of how it is done.

use std::fmt;
use std::time::Duration;

use testkit::{ConnectionFault, Fault, Prng, SessionFault, When};

use crate::store::Disk;

/// One restore, and what goes wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) seed: u64,
    pub(crate) disk: Disk,
    /// One or two.
    pub(crate) places: Vec<Place>,
    pub(crate) sink: Sink,
    pub(crate) race: bool,
    pub(crate) salvage: bool,
    /// In MiB; 0 for the default.
    pub(crate) memory: u64,
    /// 0 for the default.
    pub(crate) threads: usize,
    /// Cancelled when so many hundredths are restored.
    pub(crate) cancelled_at: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) faults: Vec<Planned>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    /// A folder that has lost some chunks, and others are damaged.
    DamagedFolder,
    Pbs,
    Https,
    S3,
}

/// Where the bytes go. What a file holds already is what the rounds before left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    Null,
    Stream,
    NewFile,
    ReplacedFile,
    /// A file that is changed, with bytes here and there that are wrong.
    ReusedFile,
}

/// What goes wrong, and what with.
#[derive(Clone, Debug)]
pub(crate) enum Planned {
    Chunk(usize, When, Fault),
    /// Whatever is asked for.
    Any(When, Fault),
    Session(When, SessionFault),
    Connection(When, ConnectionFault),
}

impl Round {
    pub(crate) fn new(seed: u64) -> Round {
        let mut dice = Dice(Prng::new(seed));
        let disk = Disk::ALL[dice.below(Disk::ALL.len() as u64) as usize];
        let count = if dice.one_in(3) { 2 } else { 1 };
        Round {
            seed,
            disk,
            places: (0..count).map(|_| dice.place(disk)).collect(),
            sink: match dice.below(6) {
                0 => Sink::Null,
                1 | 2 => Sink::Stream,
                3 => Sink::NewFile,
                4 => Sink::ReplacedFile,
                _ => Sink::ReusedFile,
            },
            race: dice.one_in(2),
            salvage: dice.one_in(3),
            memory: if dice.one_in(2) { 32 } else { 0 },
            threads: [0, 0, 1, 4][dice.below(4) as usize],
            cancelled_at: dice.one_in(8).then(|| dice.below(100)),
        }
    }

    /// Whether all that is asked for is there, and comes.
    pub(crate) fn is_sound(&self) -> bool {
        let is_sound = |place: &Place| place.faults.is_empty() && place.kind != Kind::DamagedFolder;
        self.places.iter().all(is_sound)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--rounds 1 --seed {}: {self:?}", self.seed)
    }
}

struct Dice(Prng);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn place(&mut self, disk: Disk) -> Place {
        let kind = match self.below(8) {
            0 => Kind::Folder,
            1 => Kind::DamagedFolder,
            2..=4 => Kind::Pbs,
            5 | 6 => Kind::Https,
            _ => Kind::S3,
        };
        let most = match kind {
            Kind::Folder | Kind::DamagedFolder => 0,
            _ => self.below(5),
        };
        let faults = (0..most).map(|_| self.planned(kind, disk));
        Place {
            kind,
            faults: faults.collect(),
        }
    }

    fn planned(&mut self, kind: Kind, disk: Disk) -> Planned {
        let position = self.below(disk.count()) as usize;
        match self.below(8) {
            0 if kind == Kind::Pbs => {
                Planned::Session(When::Nth(1 + self.below(4)), self.session())
            }
            1 if kind != Kind::S3 => {
                Planned::Connection(When::Nth(1 + self.below(4)), self.connection(disk))
            }
            2 | 6 => Planned::Chunk(position, When::Always, self.lasting()),
            3 => Planned::Chunk(position, When::First(1), self.damage()),
            4 | 5 => {
                let number = 1 + self.below(disk.count());
                Planned::Any(When::Nth(number), self.answer(kind))
            }
            _ => Planned::Chunk(position, When::First(1 + self.below(2)), self.answer(kind)),
        }
    }

    /// What may be over the next time.
    fn answer(&mut self, kind: Kind) -> Fault {
        let end = if kind == Kind::Pbs { 15 } else { 10 };
        match self.below(end) {
            0 | 1 => Fault::Delay(Duration::from_millis(self.below(400))),
            2 => Fault::Stall,
            3 => Fault::StallInBody,
            4 => Fault::Trickle,
            5 => Fault::Reset,
            6 => Fault::CutAfter(self.below(60_000) as usize),
            7 => Fault::Short,
            8 => Fault::Status(500),
            9 => Fault::Busy { retry_after: 0 },
            // The others are those of HTTP/2.
            10 => Fault::TooLong,
            11 => Fault::RstStream(self.below(14) as u32),
            12 => Fault::RstInBody(self.below(14) as u32),
            13 => Fault::GoAway,
            _ => Fault::GoAwayNow(self.below(14) as u32),
        }
    }

    /// Of what is damaged only the first is asked for again.
    fn damage(&mut self) -> Fault {
        match self.below(4) {
            0 => Fault::Corrupt,
            1 => Fault::Truncated,
            2 => Fault::WrongBlob,
            _ => Fault::EmptyBlob,
        }
    }

    /// What no attempt gets over.
    fn lasting(&mut self) -> Fault {
        match self.below(5) {
            0 => Fault::Missing400,
            1 => Fault::Status(500),
            2 => Fault::Reset,
            3 => Fault::Status(404),
            _ => self.damage(),
        }
    }

    fn session(&mut self) -> SessionFault {
        match self.below(5) {
            0 => SessionFault::Locked,
            1 => SessionFault::Garbage,
            2 => SessionFault::Stall,
            3 => SessionFault::CutAfterChunks(self.below(30)),
            _ => SessionFault::Refused {
                status: 503,
                text: "busy".to_owned(),
            },
        }
    }

    fn connection(&mut self, disk: Disk) -> ConnectionFault {
        let bytes = self.below(disk.len() / 4);
        match self.below(6) {
            0 => ConnectionFault::Close,
            1 => ConnectionFault::Reset,
            2 => ConnectionFault::StallInTls,
            3 => ConnectionFault::CutAfter(bytes),
            4 => ConnectionFault::ResetAfter(bytes),
            _ => ConnectionFault::StallAfter(bytes),
        }
    }
}
