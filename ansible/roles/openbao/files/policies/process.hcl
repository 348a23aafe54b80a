# The function process.
path "kv/data/almanac/process/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/process" {
  capabilities = ["update"]
}
path "transit/hmac/almanac-pseudonym" {
  capabilities = ["update"]
}
# Opens what collect sealed, and seals nothing.
path "transit/decrypt/almanac-rows" {
  capabilities = ["update"]
}
