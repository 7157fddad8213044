-- What is deleted every hour is found without reading the whole of two tables
-- that only grow.
CREATE INDEX devices_waiting ON devices (expires) WHERE state = 1;
CREATE INDEX blobs_until ON blobs (until) WHERE until <> 0;
