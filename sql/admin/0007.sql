-- Accounts whose removal is under way: from before domains.conf changes until all that is known of them is gone.
CREATE TABLE removal (
    account TEXT PRIMARY KEY,
    step INTEGER NOT NULL -- enum removal_step in reports/reports.h
);
