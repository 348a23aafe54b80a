# The function source.
path "kv/data/almanac/source/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/source" {
  capabilities = ["update"]
}
