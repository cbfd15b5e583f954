# Makes secateur-VERSION-setup.exe from this checkout: packaging\windows\build.ps1 FOLDER
# Needs uv, which brings a relocatable Python, and Inno Setup 6 (iscc). Written from the tools' manuals and never run.
param([Parameter(Mandatory)][string]$Out, [string]$Python = "3.12")
$ErrorActionPreference = "Stop"
$PSNativeCommandUseErrorActionPreference = $true
$top = (Resolve-Path "$PSScriptRoot\..\..").Path
$work = Join-Path ([IO.Path]::GetTempPath()) ("secateur-" + [guid]::NewGuid())
New-Item -ItemType Directory -Force $Out, $work | Out-Null
try {
    uv python install $Python --install-dir "$work\pythons" --no-bin
    $base = (Get-ChildItem "$work\pythons" -Directory -Filter "cpython-*" | Where-Object { -not $_.LinkType } | Select-Object -First 1).FullName
    uv venv --python "$base\python.exe" --seed "$work\tools"
    $tools = "$work\tools\Scripts\python.exe"
    & $tools -m pip install -q -r "$top\packaging\bundle\requirements.txt"
    & $tools -m build --wheel --outdir $work $top
    $wheel = (Get-ChildItem "$work\secateur-*.whl").FullName
    & $tools "$top\packaging\bundle\build.py" $wheel "$work\secateur" --python-folder $base
    & "$work\secateur\python.exe" "$top\packaging\icons.py" "$work\secateur\secateur.ico"
    Copy-Item "$top\packaging\windows\secateur.cmd" "$work\secateur"
    $version = (& "$work\secateur\python.exe" -P -m secateur.app.main --version).Split(" ")[1]
    iscc "/DVersion=$version" "/DBundle=$work\secateur" "/O$((Resolve-Path $Out).Path)" "$PSScriptRoot\secateur.iss"
} finally {
    Remove-Item -Recurse -Force $work
}
