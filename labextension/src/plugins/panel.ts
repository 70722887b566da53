import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { PanelLayout, Widget } from '@lumino/widgets';

import { servicesIcon } from '../icons';
import type { ServicesModel } from '../model/services';
import type { ServicesPanel } from '../panel';
import { PANEL_ID } from '../parts';
import { IModelServices } from '../tokens';
import { unloaded } from '../words';

/** The list of services in the left sidebar. */
export const panel: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-model-service:panel',
  description: 'Adds the panel that lists model services.',
  autoStart: true,
  requires: [IModelServices],
  optional: [ILayoutRestorer, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    services: IModelServices,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null
  ) => {
    const place = new PanelPlace(app, services.model);
    app.shell.add(place, 'left', { rank: 550, type: 'Model Services' });
    restorer?.add(place, PANEL_ID);
    void settings
      ?.load(panel.id)
      .then(found => {
        const read = () => {
          place.showCalls = found.get('showCalls').composite as boolean;
        };
        found.changed.connect(read, place);
        read();
      })
      .catch(error => console.warn('The settings of the model services’ panel could not be read.', error));
  }
};

/** Where the panel goes when it is first shown; while it is shown the list is kept current. */
class PanelPlace extends Widget {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _model: ServicesModel
  ) {
    super();
    this.id = PANEL_ID;
    this.addClass('jp-ModelService-place');
    this.title.icon = servicesIcon;
    this.title.caption = _model.trans.__('Model services');
    this.layout = new PanelLayout();
  }

  set showCalls(show: boolean) {
    this._showCalls = show;
    if (this._panel !== null) {
      this._panel.showCalls = show;
    }
  }

  dispose(): void {
    this._watch?.dispose();
    super.dispose();
  }

  protected onAfterShow(_: Message): void {
    this._watch ??= this._model.watch();
    void this._fill();
  }

  protected onAfterAttach(message: Message): void {
    // It is attached as it is when the layout of the last time is restored.
    if (this.isVisible) {
      this.onAfterShow(message);
    }
  }

  protected onAfterHide(_: Message): void {
    this._watch?.dispose();
    this._watch = null;
  }

  /** The focus goes into the list, which may have to be loaded first. */
  protected onActivateRequest(_: Message): void {
    if (this._panel === null) {
      this.node.tabIndex = -1;
      this.node.focus();
    } else {
      this._panel.activate();
    }
  }

  private async _fill(): Promise<void> {
    if (this._filled) {
      return;
    }
    this._filled = true;
    this._clear();
    try {
      const { ServicesPanel } = await import('../panel');
      this._panel = new ServicesPanel({
        model: this._model,
        commands: this._app.commands,
        menu: this._app.contextMenu.menu
      });
      this._panel.showCalls = this._showCalls;
      (this.layout as PanelLayout).addWidget(this._panel);
      if (document.activeElement === this.node) {
        this._panel.activate();
      }
    } catch (error) {
      this._filled = false; // the next look asks again
      console.warn('The panel could not be loaded.', error);
      this._tellUnloaded();
    }
  }

  private _tellUnloaded(): void {
    const { trans } = this._model;
    const notice = new Widget();
    notice.addClass('jp-ModelService-notice');
    notice.node.setAttribute('role', 'alert');
    const sentence = document.createElement('p');
    sentence.textContent = unloaded(trans);
    const again = document.createElement('button');
    again.className = 'jp-Button jp-mod-styled jp-mod-accept';
    again.textContent = trans.__('Try Again');
    again.addEventListener('click', () => void this._fill());
    notice.node.append(sentence, again);
    (this.layout as PanelLayout).addWidget(notice);
  }

  private _clear(): void {
    for (const each of [...(this.layout as PanelLayout).widgets]) {
      each.dispose();
    }
  }

  private _panel: ServicesPanel | null = null;
  private _watch: IDisposable | null = null;
  private _showCalls = true;
  private _filled = false;
}
