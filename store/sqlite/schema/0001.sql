-- Schema 1 is frozen: there are files of it. Do not edit it; a change is a step of
-- its own, the next number, and what it does to such a file is tested.
--
-- Times are in milliseconds since 1970 unless a comment says otherwise; 0 means never.

CREATE TABLE users (
  id        BLOB PRIMARY KEY,
  identity  BLOB NOT NULL,
  profile   BLOB NOT NULL,
  login     TEXT UNIQUE,          -- NULL for a guest; never given to another user
  salt      BLOB NOT NULL,
  memory    INTEGER NOT NULL,     -- Argon2id, KiB
  passes    INTEGER NOT NULL,
  threads   INTEGER NOT NULL,
  salt2     BLOB NOT NULL,
  verifier  BLOB NOT NULL,
  failures  INTEGER NOT NULL,
  failed_at INTEGER NOT NULL,
  admin     INTEGER NOT NULL,
  banned    INTEGER NOT NULL,
  created   INTEGER NOT NULL,
  seen      INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE devices (
  id          BLOB PRIMARY KEY,
  user        BLOB NOT NULL,
  state       INTEGER NOT NULL,
  key         BLOB NOT NULL,
  class       INTEGER NOT NULL,
  created     INTEGER NOT NULL,   -- unix seconds, as certified
  certificate BLOB,
  label       TEXT NOT NULL,
  seen        INTEGER NOT NULL,
  expires     INTEGER NOT NULL,
  revoked_at  INTEGER NOT NULL,   -- unix seconds
  revocation  BLOB
) WITHOUT ROWID;
CREATE INDEX devices_by_user ON devices (user);

CREATE TABLE packages (
  id     INTEGER PRIMARY KEY,     -- oldest first
  device BLOB NOT NULL,
  hash   BLOB NOT NULL,
  data   BLOB NOT NULL
);
CREATE INDEX packages_by_device ON packages (device, id);

CREATE TABLE last_resorts (
  device BLOB PRIMARY KEY,
  data   BLOB NOT NULL,
  used   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE rooms (
  num        INTEGER PRIMARY KEY,
  id         BLOB NOT NULL UNIQUE,
  kind       INTEGER NOT NULL,
  founded    INTEGER NOT NULL,
  name       TEXT NOT NULL,
  user_a     BLOB NOT NULL,
  user_b     BLOB NOT NULL,
  generation INTEGER NOT NULL,
  founder    BLOB NOT NULL,
  created    INTEGER NOT NULL
);

-- One tree and no other index: id = room number * 2^40 + seq, so a room's log
-- lies together and an append is one insertion.
CREATE TABLE entries (
  id    INTEGER PRIMARY KEY,
  kind  INTEGER NOT NULL,
  time  INTEGER NOT NULL,
  chain BLOB NOT NULL,
  data  BLOB NOT NULL
);
CREATE INDEX handshakes ON entries (id) WHERE kind = 1;

CREATE TABLE routes (
  room       BLOB NOT NULL,
  device     BLOB NOT NULL,
  user       BLOB NOT NULL,
  from_seq   INTEGER NOT NULL,
  until_seq  INTEGER NOT NULL,    -- 0 while it is routed
  out_at     INTEGER NOT NULL,
  PRIMARY KEY (room, device)
) WITHOUT ROWID;
CREATE INDEX routes_by_device ON routes (device, room);

CREATE TABLE group_infos (
  room      BLOB NOT NULL,
  link      BLOB NOT NULL,        -- zeros: of the open room itself
  seq       INTEGER NOT NULL,
  info      BLOB NOT NULL,
  tree      BLOB,
  tree_blob BLOB,
  PRIMARY KEY (room, link)
);

CREATE TABLE welcomes (
  id          INTEGER PRIMARY KEY,
  device      BLOB NOT NULL,
  room        BLOB NOT NULL,
  seq         INTEGER NOT NULL,
  from_user   BLOB NOT NULL,
  from_device BLOB NOT NULL,
  data        BLOB NOT NULL,
  tree        BLOB,
  expires     INTEGER NOT NULL
);
CREATE INDEX welcomes_by_device ON welcomes (device, id);

CREATE TABLE counters (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE links (
  id         BLOB PRIMARY KEY,
  room       BLOB NOT NULL,
  token_hash BLOB NOT NULL,
  by_user    BLOB NOT NULL,
  by_device  BLOB NOT NULL,
  created    INTEGER NOT NULL,
  expires    INTEGER NOT NULL,
  uses       INTEGER NOT NULL,
  used       INTEGER NOT NULL,
  approval   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX links_by_room ON links (room);

CREATE TABLE knocks (
  room   BLOB NOT NULL,
  device BLOB NOT NULL,
  user   BLOB NOT NULL,
  link   BLOB NOT NULL,
  time   INTEGER NOT NULL,
  data   BLOB,
  PRIMARY KEY (room, device)
) WITHOUT ROWID;

CREATE TABLE blobs (
  room     BLOB NOT NULL,
  hash     BLOB NOT NULL,
  size     INTEGER NOT NULL,
  device   BLOB NOT NULL,
  complete INTEGER NOT NULL,
  until    INTEGER NOT NULL,      -- 0: an entry names it
  PRIMARY KEY (room, hash)
) WITHOUT ROWID;
CREATE INDEX blobs_unfinished ON blobs (device) WHERE complete = 0;

CREATE TABLE chunks (
  room BLOB NOT NULL,
  hash BLOB NOT NULL,
  idx  INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (room, hash, idx)
);

-- Keys are random: to keep their insertions together, and to delete them in one
-- go, they lie under the hour in which they were stored.
CREATE TABLE answers (
  hour INTEGER NOT NULL,
  key  BLOB NOT NULL,
  user BLOB NOT NULL,
  op   INTEGER NOT NULL,
  body BLOB NOT NULL,
  time INTEGER NOT NULL,
  PRIMARY KEY (hour, key, user)
) WITHOUT ROWID;

CREATE TABLE tickets (
  hash    BLOB PRIMARY KEY,
  psk     BLOB NOT NULL,
  online  BLOB NOT NULL,
  expires INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE tokens (
  hash    BLOB PRIMARY KEY,
  kind    INTEGER NOT NULL,
  uses    INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  note    TEXT NOT NULL,
  created INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE bans (
  what    TEXT PRIMARY KEY,
  reason  TEXT NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit (
  id      INTEGER PRIMARY KEY,
  time    INTEGER NOT NULL,
  who     TEXT NOT NULL,
  act     TEXT NOT NULL,
  subject TEXT NOT NULL
);
