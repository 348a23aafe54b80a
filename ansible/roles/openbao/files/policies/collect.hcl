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
