The new option `compile` has bytecode compiled on the host: in the background once the release is live (`background`, the default), as part of the build (`before-switch`), or not at all (`no`).
