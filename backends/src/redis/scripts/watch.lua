-- KEYS: the changes. Returns the number of the last one.
return string.format('%.0f', last_change(KEYS[1]))
