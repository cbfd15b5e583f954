"""An engine on another machine, reached through the user's own `ssh`.

    window: client.py  ==  ssh  ==  relay.py (`secateur engine`)  ==  Unix socket  ==  broker.py  ==  worker (as ever)

The broker outlives the connection: it holds the engine process, and keeps what has not been heard yet (`Courier` in
protocol.py).
"""
