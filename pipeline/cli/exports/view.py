"""`agcarbon view`."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import RunFilePath


def view(
    run_file: RunFilePath,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of 127.0.0.1; 0: any that is free")] = 8765,
    open_browser: Annotated[bool, typer.Option("--open", help="open the page in the browser")] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="write the page beside FOLDER/REGION.zarr as static files, serve nothing"),
    ] = None,
) -> None:
    """Show the exported Zarr store as a map in the browser.

    It is served on this machine until Ctrl-C. A click shows the daily series and the annual values of a cell.
    `agcarbon export zarr` makes the store.
    """
    import webbrowser

    from pipeline.console import console
    from pipeline.job import Job
    from pipeline.storage import files
    from pipeline.view.files import page_files, store_folder, write_page
    from pipeline.view.server import Site, address, open_server

    job = Job.open(run_file)
    name = f"{job.region.name}.zarr"
    command = f"agcarbon export zarr {shlex.quote(str(run_file))}"
    if output:
        location, command = files.join(str(output), name), f"{command} -o {shlex.quote(str(output / name))}"
    else:
        location = files.join(job.stores.exports, "zarr", name)
    store = store_folder(location, made_by=command)
    page = page_files(store, job.region)
    if output:
        write_page(page, output)
        console.print(
            f"{output / 'index.html'}: {len(page)} files beside {store.name}; publish the folder", soft_wrap=True
        )
        return
    with open_server(Site(page, store), port) as server:
        console.print(f"{address(server)} shows {store}; Ctrl-C ends", soft_wrap=True)
        if open_browser:
            webbrowser.open(address(server))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # here it is how a user ends the command
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # some programs send it to a process and then to its group
            console.print("ended")
