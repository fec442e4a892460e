-- Reports of other servers come to the return path that a message was given (FromIDLoginAddresses).
ALTER TABLE message ADD COLUMN has_own_path INTEGER NOT NULL DEFAULT 0;
CREATE INDEX message_path ON message (account, reverse_path COLLATE NOCASE) WHERE has_own_path;
CREATE INDEX retired_path ON retired (account, reverse_path COLLATE NOCASE);
