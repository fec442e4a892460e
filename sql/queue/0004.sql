-- Port 25 gives back what some of several recipients could not take: how the accounts know the delivery
-- that is to be repeated. Empty: the queue's own id.
ALTER TABLE entry ADD COLUMN delivery_id TEXT NOT NULL DEFAULT '';
