-- What the envelope said that a next server must hear: raw bytes (RFC 3030), a later release (RFC 4865).
ALTER TABLE message ADD COLUMN is_binary INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN future_release TEXT NOT NULL DEFAULT '';
