A host may have another Python than the developer: it gets the wheels of its own, and what a distribution needs only there is named before anything is sent.
