# The function aggregate.
path "kv/data/almanac/aggregate/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/aggregate" {
  capabilities = ["update"]
}
