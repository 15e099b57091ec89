-- What runs were about, kept for quick lists beside what the events say; the chain of what an administrator did.

ALTER TABLE runs ADD COLUMN project TEXT NOT NULL DEFAULT '';
UPDATE runs SET project = coalesce(
    (SELECT iif(json_valid(e.json), json_extract(e.json, '$.project'), '') FROM events e
     WHERE e.run = runs.run AND e.seq = 1), '');
CREATE INDEX runs_of_project ON runs (project, run);

CREATE TABLE concerns (
    what TEXT NOT NULL,                 -- host, app
    name TEXT NOT NULL,
    run  TEXT NOT NULL,
    PRIMARY KEY (what, name, run)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO concerns (what, name, run)
    SELECT 'host', json_extract(json, '$.host'), run FROM events
    WHERE kind = 'began' AND json_valid(json) AND json_type(json, '$.host') = 'text';
INSERT OR IGNORE INTO concerns (what, name, run)
    SELECT 'host', h.value, e.run FROM events e, json_each(iif(json_valid(e.json), e.json, '{}'), '$.hosts') h
    WHERE e.kind = 'phase' AND h.type = 'text';
INSERT OR IGNORE INTO concerns (what, name, run)
    SELECT 'app', substr(l.value, 5), e.run
    FROM events e, json_each(iif(json_valid(e.json), e.json, '{}'), '$.exclusive') l
    WHERE e.kind = 'locked' AND l.type = 'text' AND l.value GLOB 'app/?*' AND instr(substr(l.value, 5), '/') = 0;
INSERT OR IGNORE INTO concerns (what, name, run)
    SELECT 'app', substr(l.value, 5), e.run
    FROM events e, json_each(iif(json_valid(e.json), e.json, '{}'), '$.shared') l
    WHERE e.kind = 'locked' AND l.type = 'text' AND l.value GLOB 'app/?*' AND instr(substr(l.value, 5), '/') = 0;

-- When a content was last wanted: what was wanted lately is never taken away as left over.
ALTER TABLE contents ADD COLUMN wanted TEXT NOT NULL DEFAULT '';
