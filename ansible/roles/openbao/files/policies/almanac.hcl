# The operator's command, and almanac run --config, which is all functions in one process.
path "kv/data/almanac/almanac/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/almanac" {
  capabilities = ["update"]
}
path "transit/hmac/almanac-pseudonym" {
  capabilities = ["update"]
}
path "transit/datakey/plaintext/almanac-rows" {
  capabilities = ["update"]
}
path "transit/decrypt/almanac-rows" {
  capabilities = ["update"]
}
path "transit/rewrap/almanac-rows" {
  capabilities = ["update"]
}
