# The function calendar.
path "kv/data/almanac/calendar/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/calendar" {
  capabilities = ["update"]
}
