-- Returns a consumer's position.
SELECT position FROM consumers WHERE consumer = %s
