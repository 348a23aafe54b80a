# The function deliver.
path "kv/data/almanac/deliver/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/deliver" {
  capabilities = ["update"]
}
