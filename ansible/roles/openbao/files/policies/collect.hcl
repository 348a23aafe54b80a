# The function collect.
path "kv/data/almanac/collect/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/collect" {
  capabilities = ["update"]
}
# Data keys to seal raw blocks by, which it needs again for its next slice, and to read the archive.
path "transit/datakey/plaintext/almanac-rows" {
  capabilities = ["update"]
}
path "transit/decrypt/almanac-rows" {
  capabilities = ["update"]
}
