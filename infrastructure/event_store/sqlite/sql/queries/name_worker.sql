-- Sets a worker's id, which contains its epoch.
UPDATE workers SET worker_id = ? WHERE epoch = ?
